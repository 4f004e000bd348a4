# SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
#
# kbuild-btf.mk - the whole integration into Kbuild, without a patch to the tree.
#
# GNU make reads the files named in the environment variable MAKEFILES before anything else, in
# every make process of a build.  `kbuild-btf make` and `kbuild-btf env` put this file there.
# What is defined here with `override` stays, whatever the tree's makefiles assign later.
#
#   KBUILD_BTF=1           the switch: with any other value nothing below is seen by make
#   KBUILD_BTF_BIN=DIR     absolute directory of kbuild-btf-hook and kbuild-btf-pahole
#   KBUILD_BTF_HOOK=0      no hook after each object; the link encodes what it needs
#   KBUILD_BTF_DEBUG=drop  the hook takes the debug information out of each object
#   KBUILD_BTF_DEBUG=lean  the same, gcc writes less of it, and resolve_btfids is compiled fast
#   KBUILD_BTF_DEBUG=split  the compiler writes it into a .dwo file beside each object (-gsplit-dwarf)
#   KBUILD_BTF_STORE=section  types are stored in each object, not in a file beside it
#
# Everything here is prefixed kbuild-btf-, except the three names that are taken over:
# PAHOLE, if_changed_rule and cmd_link_vmlinux, and with split and lean CFLAGS_KERNEL and CFLAGS_MODULE,
# which get flags more, and with lean HOSTCFLAGS of resolve_btfids.  Nothing else here changes a command line that Kbuild records for an object, so
# switching on and off recompiles no object (split, lean: all); only vmlinux is linked again, because its
# recorded command names the linker wrapper.
#
# The last two are taken over only where the tree defines them with exactly the text known
# here (the same in Linux 6.1, 6.12 and 7.x; the link command has two forms).  In a tree with
# other text they stay the tree's own: then kbuild-btf-pahole does all the work at the link.

ifeq ($(KBUILD_BTF),1)

kbuild-btf-mk := $(abspath $(lastword $(MAKEFILE_LIST)))

# make tries to remake every makefile it has read; a match-anything rule (`%: ; ...`, common in
# out-of-tree modules) would be run for this file.  An empty rule of its own prevents that.
$(kbuild-btf-mk): ;

# Looked up in each make process, so that a tool that was removed between two makes (or in the
# middle of one) leaves a build as it was without it.
kbuild-btf-pahole := $(wildcard $(KBUILD_BTF_BIN)/kbuild-btf-pahole)
kbuild-btf-hook   := $(if $(filter 0,$(KBUILD_BTF_HOOK)),,$(wildcard $(KBUILD_BTF_BIN)/kbuild-btf-hook))
kbuild-btf-ld     := $(wildcard $(dir $(kbuild-btf-mk))kbuild-btf-ld)

# --- the debug information -----------------------------------------------------------------------
# What becomes of it (KBUILD_BTF_DEBUG): `keep` leaves it in the objects. `drop` takes it out, but not where
# the configuration has somebody who reads it later; of these only the split-readers need it in the object
# itself and know no .dwo files. (kbuild_btf/kbuild.py reads these lines, too, with what each does.)
kbuild-btf-readers :=
kbuild-btf-readers += GENDWARFKSYMS # makes the versions of exported symbols of it
kbuild-btf-readers += KALLSYMS_LINEINFO # makes the table of source lines of it
kbuild-btf-readers += KALLSYMS_LINEINFO_MODULES # makes the tables of source lines of it
kbuild-btf-readers += KLP_BUILD # the objects of livepatches are compared with it
kbuild-btf-readers += GDB_SCRIPTS # is for gdb, which reads it in vmlinux
kbuild-btf-readers += LD_DEAD_CODE_DATA_ELIMINATION # removes objects, and then the types are read from it
kbuild-btf-split-readers := GENDWARFKSYMS KLP_BUILD
kbuild-btf-refuse = $(foreach reader,$(1),$(if $(CONFIG_$(reader)),$(error kbuild-btf: KBUILD_BTF_DEBUG=$(KBUILD_BTF_DEBUG): CONFIG_$(reader) needs the debug information; switch one of them off)))

# Objects of the kernel and of modules, as Kbuild's own lists name them; not the vDSO, boot code,
# host programs.  Without CONFIG_DEBUG_INFO_BTF there is nothing to do, with LTO the objects hold
# no machine code yet.
kbuild-btf-ours = $(and $(CONFIG_DEBUG_INFO_BTF),$(if $(CONFIG_LTO_CLANG),,y),$(filter $@,$(real-obj-y) $(lib-y) $(real-obj-m)))

# With lean gcc leaves out what BTF is not made of: columns, views of one place, where statements and inlined
# calls begin; and does not look for strings that it has written already. What var-tracking finds out is
# needed: by it a parameter is known to be passed. (Older gcc does not know these flags.)
kbuild-btf-flags-lean = $(if $(and $(CONFIG_CC_IS_GCC),$(filter-out 5% 6% 7%,$(CONFIG_GCC_VERSION))),$(if $(CONFIG_DEBUG_INFO_BTF_INLINE),,-gdwarf-4 -gno-column-info -gno-inline-points -gno-statement-frontiers -gno-variable-location-views -fno-merge-debug-strings))
kbuild-btf-flags-split = $(call kbuild-btf-refuse,$(kbuild-btf-split-readers))-gsplit-dwarf

# All flags of an object come last from one of these two; the tree leaves them to users.
ifneq ($(filter lean split,$(KBUILD_BTF_DEBUG)),)
kbuild-btf-flags = $(if $(kbuild-btf-ours),$(kbuild-btf-flags-$(KBUILD_BTF_DEBUG)))
override CFLAGS_KERNEL += $(kbuild-btf-flags)
override CFLAGS_MODULE += $(kbuild-btf-flags)
endif

# With BTF Kbuild also compiles libbpf, for resolve_btfids, a program of a moment: lean has it compiled fast
# instead of well, as the tree has main.c of that program. Who says how (HOSTCFLAGS) is obeyed.
ifeq ($(KBUILD_BTF_DEBUG)$(filter %/tools/bpf/resolve_btfids,$(CURDIR)),lean$(CURDIR))
HOSTCFLAGS ?= -O0
endif

# --- pahole ------------------------------------------------------------------------------------
# The top Makefile assigns `PAHOLE = pahole`, so the environment alone would not do.  It must be
# one word: link-vmlinux.sh of 6.1 runs `command -v` on it.
ifneq ($(kbuild-btf-pahole),)
override PAHOLE := $(kbuild-btf-pahole)
endif

# --- what does this tree say? ------------------------------------------------------------------
# srctree is in the environment of every make below the top one, and only those build objects or
# link vmlinux.  $(file <...) reads without a process; it came with make 4.2.  Texts are compared
# with white space squeezed and continued lines joined (`define` below does that by itself), and
# up to the word that follows, so that an added line is seen.
kbuild-btf-text =
kbuild-btf-backslash := $(strip \)
ifeq ($(filter 3.% 4.0 4.0.% 4.1 4.1.%,$(MAKE_VERSION)),)
kbuild-btf-text = $(if $(wildcard $(srctree)/$1),$(subst $(kbuild-btf-backslash) ,,$(strip $(file <$(srctree)/$1))))
endif

# scripts/Kbuild.include: "execute the rule if the command or a prerequisite changed".
define kbuild-btf-known-rule
if_changed_rule = $(if $(if-changed-cond),$(rule_$(1)),@:) ###
endef

# scripts/Makefile.vmlinux: link-vmlinux.sh gets the linker and two lists of flags (since 6.13
# also the name of the output), then comes the architecture's post-link step.
define kbuild-btf-known-link-3
cmd_link_vmlinux = \
	$< "$(LD)" "$(KBUILD_LDFLAGS)" "$(LDFLAGS_vmlinux)"; \
	$(if $(ARCH_POSTLINK), $(MAKE) -f $(ARCH_POSTLINK) $@, true)

targets +=
endef
define kbuild-btf-known-link-4
cmd_link_vmlinux = \
	$< "$(LD)" "$(KBUILD_LDFLAGS)" "$(LDFLAGS_vmlinux)" "$@"; \
	$(if $(ARCH_POSTLINK), $(MAKE) -f $(ARCH_POSTLINK) $@, true)

targets +=
endef

# $(call kbuild-btf-knows,NAME OF A KNOWN TEXT,THE TREE'S TEXT): is it there, and is its subject
# (its first word) assigned nowhere else?  A `+=` after an override would be lost without a word.
kbuild-btf-knows = $(and $(findstring $(strip $(value $1)),$2),$(if $(call kbuild-btf-others,$(firstword $(value $1)),$(subst $(strip $(value $1)),,$2)),,y))
kbuild-btf-others = $(strip $(findstring define $1,$2)$(foreach op,= += := ::= ?=,$(findstring $1 $(op),$2)))

# --- after each object -------------------------------------------------------------------------
ifneq ($(and $(kbuild-btf-hook),$(srctree)),)
ifneq ($(call kbuild-btf-knows,kbuild-btf-known-rule,$(call kbuild-btf-text,scripts/Kbuild.include)),)

define kbuild-btf-newline


endef

kbuild-btf-wanted = $(and $(filter cc_o_c as_o_S,$(1)),$(kbuild-btf-ours))

# A recipe line of its own, after the last step of the rule: the object is final there (objtool,
# recordmcount and genksyms have run), whether a compiler, ccache or distcc made it.  It needs no
# shell, so make starts the program directly.  The leading `-`: whatever happens to the hook, the
# object stays good, and make must not delete it (.DELETE_ON_ERROR).
#   V=0: the hook prints "  BTF     <object>"    V=1: make prints the command    -s: nothing
kbuild-btf-line = $(kbuild-btf-newline)-$(if $(quiet),@)$(kbuild-btf-hook)$(if $(filter quiet_,$(quiet)), --echo)$(if $(CONFIG_DEBUG_INFO_BTF_INLINE), --inline)$(if $(kbuild-btf-drops), --drop)$(if $(kbuild-btf-carries), --section) $@

# Does the debug information leave the object?
kbuild-btf-drops = $(if $(filter-out keep split drop lean,$(KBUILD_BTF_DEBUG)),$(error kbuild-btf: KBUILD_BTF_DEBUG=$(KBUILD_BTF_DEBUG): it is keep, split, drop or lean))$(if $(filter drop lean,$(KBUILD_BTF_DEBUG)),$(call kbuild-btf-refuse,$(kbuild-btf-readers))y)

# Where its types are stored (KBUILD_BTF_STORE).
kbuild-btf-carries = $(if $(filter-out sidecar section,$(KBUILD_BTF_STORE)),$(error kbuild-btf: KBUILD_BTF_STORE=$(KBUILD_BTF_STORE): it is sidecar or section))$(filter section,$(KBUILD_BTF_STORE))

# An object that lost its debug information is compiled again when it is to have it (the default, or
# since the link asked for it: .keepdebug), and when the types that were made of it are gone.
kbuild-btf-beside = $(wildcard $(dir $@).tmp_$(notdir $@).$(1))
kbuild-btf-stored = $(call kbuild-btf-beside,carries)$(call kbuild-btf-beside,kbtf)
kbuild-btf-anew = $(if $(call kbuild-btf-beside,carries)$(call kbuild-btf-beside,nodebug),$(if $(kbuild-btf-drops),$(call kbuild-btf-beside,keepdebug)$(if $(kbuild-btf-stored),,lost),lost))

override if_changed_rule = $(if $(if-changed-cond)$(if $(kbuild-btf-wanted),$(kbuild-btf-anew)),$(rule_$(1))$(if $(kbuild-btf-wanted),$(kbuild-btf-line)),@:)

kbuild-btf-has-hook := 1
endif
endif

# --- the links of vmlinux ----------------------------------------------------------------------
# Only link-vmlinux.sh sees the wrapper in place of the linker; `ld -r`, modules and Kconfig's
# probes keep $(LD).  User-mode Linux links with the compiler and gets no wrapper.
ifneq ($(and $(kbuild-btf-pahole),$(kbuild-btf-ld),$(srctree)),)
kbuild-btf-vmlinux := $(call kbuild-btf-text,scripts/Makefile.vmlinux)
kbuild-btf-linker = $(if $(and $(CONFIG_DEBUG_INFO_BTF),$(filter-out um,$(SRCARCH))),sh $(kbuild-btf-ld) )$(LD)

ifneq ($(call kbuild-btf-knows,kbuild-btf-known-link-3,$(kbuild-btf-vmlinux)),)
override cmd_link_vmlinux = $< "$(kbuild-btf-linker)" "$(KBUILD_LDFLAGS)" "$(LDFLAGS_vmlinux)"; \
	$(if $(ARCH_POSTLINK), $(MAKE) -f $(ARCH_POSTLINK) $@, true)
kbuild-btf-has-link := 1
else ifneq ($(call kbuild-btf-knows,kbuild-btf-known-link-4,$(kbuild-btf-vmlinux)),)
override cmd_link_vmlinux = $< "$(kbuild-btf-linker)" "$(KBUILD_LDFLAGS)" "$(LDFLAGS_vmlinux)" "$@"; \
	$(if $(ARCH_POSTLINK), $(MAKE) -f $(ARCH_POSTLINK) $@, true)
kbuild-btf-has-link := 1
endif
endif

# --- external modules where there is no vmlinux --------------------------------------------------
# Where only headers are installed, the tree skips the BTF of a module. If the kernel that runs is the
# one that the module is built for, its own BTF is the base that is missing. (That its struct module is
# the module's, too, kbuild-btf-pahole looks at.) Modules that get none are made all the same, as there.
ifneq ($(and $(kbuild-btf-pahole),$(KBUILD_EXTMOD),$(srctree)),)
kbuild-btf-running := /sys/kernel/btf/vmlinux
kbuild-btf-release := /proc/sys/kernel/osrelease
kbuild-btf-modfinal := $(call kbuild-btf-text,scripts/Makefile.modfinal)
kbuild-btf-skips := due to unavailability of vmlinux

ifneq ($(and $(findstring cmd_btf_ko = ,$(kbuild-btf-modfinal)),$(findstring $(kbuild-btf-skips),$(kbuild-btf-modfinal)),$(if $(wildcard $(addprefix $(objtree)/,vmlinux vmlinux.unstripped)),,y),$(wildcard $(kbuild-btf-running)),$(wildcard $(RESOLVE_BTFIDS)),$(filter $(KERNELRELEASE),$(file <$(kbuild-btf-release)))),)
# Since 7.0 a script of the tree does both steps.
ifneq ($(findstring gen-btf.sh,$(kbuild-btf-modfinal)),)
kbuild-btf-encode = $(CONFIG_SHELL) $(srctree)/scripts/gen-btf.sh --btf_base $(kbuild-btf-running) $@
kbuild-btf-resolve = :
else
kbuild-btf-encode = LLVM_OBJCOPY="$(OBJCOPY)" $(PAHOLE) -J $(PAHOLE_FLAGS) $(MODULE_PAHOLE_FLAGS) --btf_base $(kbuild-btf-running) $@
kbuild-btf-resolve = $(RESOLVE_BTFIDS) -b $(kbuild-btf-running) $@
endif
override cmd_btf_ko = printf '  %-7s %s\n' BASE '$(kbuild-btf-running), of the running kernel (there is no vmlinux)'; \
	if $(kbuild-btf-encode); then $(kbuild-btf-resolve); \
	else printf 'Skipping BTF generation for %s $(kbuild-btf-skips)\n' $@ >&2; fi
endif
endif

endif # KBUILD_BTF

# SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
#
# For people who own their tree: kbuild-btf without MAKEFILES and without `kbuild-btf make`.
#
#   cp kbuild-btf.mk kbuild-btf-ld LINUX/scripts/
#   cat in-tree.mk >>LINUX/scripts/Kbuild.include
#
# Then every `make` of the tree uses kbuild-btf where it is installed; elsewhere, and with
# KBUILD_BTF=0, it builds as before.
ifneq ($(origin KBUILD_BTF_BIN),environment)
KBUILD_BTF_BIN := $(patsubst %/,%,$(dir $(shell command -v kbuild-btf-hook)))
endif
KBUILD_BTF ?= $(if $(KBUILD_BTF_BIN),1,0)
export KBUILD_BTF KBUILD_BTF_BIN
# A makefile that is read must not become what make makes by default.
kbuild-btf-goal := $(.DEFAULT_GOAL)
-include $(srctree)/scripts/kbuild-btf.mk
.DEFAULT_GOAL := $(kbuild-btf-goal)

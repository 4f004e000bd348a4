# SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
"""The verbs of the command line, one module each.

A module ``commands/<verb>.py`` has ``add_arguments(parser)`` and ``run(args) -> exit status``;
its line of help stands in ``kbuild_btf.cli.VERBS``, so that nothing is imported to show it.
"""

# SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
"""From what differs to a verdict: whom it breaks, what was agreed to, whether to let it pass."""

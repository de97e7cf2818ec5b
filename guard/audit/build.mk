# SPDX-License-Identifier: Apache-2.0
# The optional C half of guard/audit/fast.py. Without a compiler guard does without.

.PHONY: formatter
formatter: guard/objects/format.so

guard/objects/format.so: guard/audit/format.c guard/audit/build.mk
	@mkdir -p $(@D)
	@$(CC) -O2 -g0 -Wall -Wextra -Werror -fPIC -shared -o $@.tmp $< && mv $@.tmp $@ || \
		echo "formatter: not built; records are written by Python alone" >&2

# SPDX-License-Identifier: Apache-2.0
# The kernel suite's drivers: static, so that a policy over files need not let
# a loader read libraries.

DRIVERS := $(patsubst tests/kernel/drivers/%.c,build/drivers/%,$(wildcard tests/kernel/drivers/*.c))

.PHONY: drivers
drivers: $(DRIVERS)

build/drivers/%: tests/kernel/drivers/%.c tests/kernel/drivers/build.mk
	@mkdir -p $(@D)
	$(CC) -std=gnu11 -O1 -g -Wall -Wextra -Werror -static -pthread $< -o $@

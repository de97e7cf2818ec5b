# SPDX-License-Identifier: Apache-2.0
"""What names and texts in policies look like, as regular expressions.

Shared by the parser and the JSON Schema, so only what both dialects read alike.
"""

NAME_FORM = r"[A-Za-z0-9][A-Za-z0-9._-]*"
NAME_FORM_WORDS = "letters, digits, '.', '_' and '-', the first a letter or digit"
GENERATED_ID_FORM = r"(file|exec|net|kernel|ingress)\.[0-9]+"
"""Ids of rules that their author gave none: section.number. Nobody else may use them."""

OBJECT_FORM = r"/|(/(?!\.{1,2}(/|$))[^/\x00]+)+"
"""A canonical absolute path: the root, or components that are neither empty, '.' nor '..'."""

VAR_FORM = r"[A-Za-z_][A-Za-z0-9_]*"
INCLUDE_FORM = r"(?!/)(?!(.*/)?\.\.?(/|$))[^\x00]+"
"""A path that leads downwards from where one is."""

TAG_FORM = r"[A-Za-z0-9][A-Za-z0-9._:/-]*"
ACCOUNT_FORM = r"[A-Za-z_][A-Za-z0-9_.-]*\$?"
DIGEST_FORM = r"[0-9a-f]{64}"
UNIT_FORM = r"[^/@][^/]*(\.(service|slice|scope|socket|mount|swap)|[*?}\]])"
"""A glob over the name of a unit that has a control group: systemd.unit(5)."""

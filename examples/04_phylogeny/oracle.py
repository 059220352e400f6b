# SPDX-License-Identifier: BSD-3-Clause
"""Derives expected_output.txt without the library: paths by hand, Jukes and Cantor's formula (1969)."""
import math

# Branches from each leaf to the root: ((deer:0.1,bear:0.3):0.05,(frog:0.4,fish:0.5):0.25);
LINES = {"deer": {"deer": 0.1, "mammals": 0.05}, "bear": {"bear": 0.3, "mammals": 0.05},
         "frog": {"frog": 0.4, "others": 0.25}, "fish": {"fish": 0.5, "others": 0.25}}

print("pair           path  differ, exactly  simulated so")
names = list(LINES)
for i, a in enumerate(names):
    for b in names[i + 1:]:
        own = set(LINES[a]) ^ set(LINES[b])  # branches that the two do not share
        path = sum((LINES[a] | LINES[b])[branch] for branch in own)
        differ = 3 / 4 * (1 - math.exp(-4 / 3 * path))
        print(f"{a} and {b}  {path:.2f}  {differ:15.6f}  {'yes':>12}")

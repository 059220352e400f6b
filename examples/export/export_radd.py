# SPDX-License-Identifier: BSD-3-Clause
"""Exports a RADD checkpoint (Ou et al. 2025; ML-GSAI/RADD).

    python export_radd.py --checkpoint model.safetensors --out radd

Takes a checkpoint of its training (with the moving average) or published weights. The network takes no time and gives logits
of the clean token of each masked site, so that saltus evaluates only the rows that changed.
"""

import common
import ddit
from export_sedd import weights_of


def main(argv):
    ddit.export_timeless(argv, __doc__, "RADD", weights_of)


if __name__ == "__main__":
    common.run(main)

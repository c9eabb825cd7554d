"""Networks prepared for other runtimes: batch norms folded into the convolutions before them."""

"""What a trained net is worth: errors and losses on a split."""

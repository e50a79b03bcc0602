"""One page about runs: their facts, their figures and a model card, as HTML."""

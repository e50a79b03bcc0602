"""Pictures of a net and of its answers, by matplotlib; each is also data and words."""

"""Pictures on disk beside the labels of another data set."""

"""Questions asked of trained runs of any method."""

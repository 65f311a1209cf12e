"""What ``lifting data check images`` looks at: the motion that is rendered."""

from lifting.data.sets.synthetic.checks import check

__all__ = ["check"]

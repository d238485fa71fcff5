"""Every picture: functions from numbers to figures, in one style."""

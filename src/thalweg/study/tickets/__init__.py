"""Lottery tickets: drawn round by round beside their controls, and judged; see `thalweg.study.lottery`."""

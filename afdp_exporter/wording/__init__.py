"""The one wording of numbers, shares, money, metrics and durations, for every text that people read.

A number with a range is rounded to the digits that the range bears, value and ends in one unit and with one sign
convention; a number without a range has three significant digits. Plain text; the caller escapes it.
"""

"""Acting on what is known: the gate's answers, the automation level that is earned, and the way back."""

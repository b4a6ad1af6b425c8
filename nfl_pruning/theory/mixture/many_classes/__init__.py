"""Three classes and more: randomised points, accelerated rounds, a standard error."""

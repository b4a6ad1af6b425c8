"""Fits of a student: by Newton's method, by quadratic programs, of one margin or of many logits."""

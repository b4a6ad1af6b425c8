"""The theory on people's own features: a fitted mixture, real refits, and advice with error bars."""

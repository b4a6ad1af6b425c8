"""Theory on people's own features: a fitted mixture, real refits, advice with error bars."""

"""`friend.*`: what people are to each other."""

"""The same three rules as a stock faust-streaming application: what Returnwatch is measured against."""

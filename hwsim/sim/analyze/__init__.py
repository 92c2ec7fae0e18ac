"""What accumulators a network needs: proven for every input, observed on a data set, and certified."""

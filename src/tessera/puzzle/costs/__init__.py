"""What each variant costs on a hardware and workload: time, memory, parameters."""

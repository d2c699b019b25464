"""What is measured: benchmarks, jobs, results, verdicts, tables and pages."""

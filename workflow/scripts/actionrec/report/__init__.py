"""Put experiments side by side: tables, plots and pages."""

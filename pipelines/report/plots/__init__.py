"""The figures of the report, one file each, as SVG text."""

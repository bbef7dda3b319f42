"""Reports: charts as SVG drawn in Python, and a comparison as one self-contained HTML page."""

cat data.txt; exit 3

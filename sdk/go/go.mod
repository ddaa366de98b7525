module flowloom

go 1.24

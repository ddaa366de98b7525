module mistakes

go 1.24

require flowloom v0.0.0

replace flowloom => ../../../../sdk/go

module reader

go 1.18

require github.com/BurntSushi/toml v1.6.0

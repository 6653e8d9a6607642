// Reads TOML files with the library that gitlab-runner reads its config.toml with, and prints a JSON object per file: the
// whole tree, and the identity keys of each [[runners]] entry as gitlab-runner's own types take them.
package main

import (
	"encoding/json"
	"fmt"
	"math"
	"os"
	"time"

	"github.com/BurntSushi/toml"
)

type entry struct {
	Name            string    `toml:"name"`
	URL             string    `toml:"url"`
	ID              int64     `toml:"id"`
	Token           string    `toml:"token"`
	TokenObtainedAt time.Time `toml:"token_obtained_at"`
	TokenExpiresAt  time.Time `toml:"token_expires_at"`
	TLSCAFile       string    `toml:"tls-ca-file"`
	Executor        string    `toml:"executor"`
}

type config struct {
	Concurrent int      `toml:"concurrent"`
	Runners    []*entry `toml:"runners"`
}

type answer struct {
	Error  string `json:"error,omitempty"`
	Tree   any    `json:"tree"`
	Config config `json:"config"`
}

// JSON knows neither times nor the odd floats.
func plain(value any) any {
	switch v := value.(type) {
	case map[string]any:
		for key := range v {
			v[key] = plain(v[key])
		}
	case []map[string]any:
		list := []any{}
		for _, table := range v {
			list = append(list, plain(table))
		}
		return list
	case []any:
		for i := range v {
			v[i] = plain(v[i])
		}
	case time.Time:
		return map[string]any{"$time": v.Format(time.RFC3339Nano)}
	case float64:
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return map[string]any{"$float": fmt.Sprint(v)}
		}
		return map[string]any{"$float": fmt.Sprintf("%.17g", v)}
	}
	return value
}

func read(path string) (result answer) {
	tree := map[string]any{}
	if _, err := toml.DecodeFile(path, &tree); err != nil {
		return answer{Error: err.Error()}
	}
	result.Tree = plain(tree)
	if _, err := toml.DecodeFile(path, &result.Config); err != nil {
		return answer{Error: err.Error()}
	}
	return result
}

func main() {
	out := json.NewEncoder(os.Stdout)
	for _, path := range os.Args[1:] {
		if err := out.Encode(read(path)); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
}

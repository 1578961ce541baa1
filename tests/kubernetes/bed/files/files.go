// Package files is what the node and the shims of its containers tell each other, in the folder of each container.
package files

import (
	"encoding/json"
	"os"
	"time"
)

// Command is DIR/cmd.json, read by the shim.
type Command struct {
	Argv, Env []string
	Dir       string
	Binds     [][2]string
	NS        bool
}

// Exit is DIR/exit.json, written by the shim.
type Exit struct {
	Code, Signal      int
	Err               string
	Started, Finished time.Time
	Lost              bool `json:"-"` // the shim ended without it: nobody knows how the container did
}

// Read reads a file of JSON.
func Read(f string, v any) error {
	b, err := os.ReadFile(f)
	if err != nil {
		return err
	}
	return json.Unmarshal(b, v)
}

// Write writes a file whole: whoever reads it finds all of it, or what was there before.
func Write(f string, b []byte) {
	os.WriteFile(f+".tmp", b, 0o644)
	os.Rename(f+".tmp", f)
}

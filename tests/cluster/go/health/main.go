// Asks what Argo CD and Flux say of an object's health. Standard input: {"objects": [{…}, …], "lua": "…",
// "failed": "…", "current": "…"}. Output: for each object, {"argo": "Healthy", "message": "…", "flux": "Current"}.
//
// Argo CD runs the script with gopher-lua, the object as `obj`. Flux evaluates the expressions with cel-go, unchecked, on
// the object's own fields, after it has compared status.observedGeneration with metadata.generation.
package main

import (
	"encoding/json"
	"fmt"
	"log"
	"os"

	"github.com/google/cel-go/cel"
	lua "github.com/yuin/gopher-lua"
)

type question struct {
	Objects []map[string]any `json:"objects"`
	Lua     string           `json:"lua"`
	Failed  string           `json:"failed"`
	Current string           `json:"current"`
}

type answer struct {
	Argo    string `json:"argo"`
	Message string `json:"message"`
	Flux    string `json:"flux"`
}

// toLua returns a value of JSON as a value of Lua.
func toLua(state *lua.LState, value any) lua.LValue {
	switch known := value.(type) {
	case nil:
		return lua.LNil
	case bool:
		return lua.LBool(known)
	case float64:
		return lua.LNumber(known)
	case string:
		return lua.LString(known)
	case []any:
		table := state.NewTable()
		for _, one := range known {
			table.Append(toLua(state, one))
		}
		return table
	case map[string]any:
		table := state.NewTable()
		for name, one := range known {
			table.RawSetString(name, toLua(state, one))
		}
		return table
	}
	panic(fmt.Sprintf("%T is not of JSON", value))
}

func argo(script string, object map[string]any) (string, string, error) {
	state := lua.NewState(lua.Options{SkipOpenLibs: true})
	defer state.Close()
	lua.OpenBase(state)
	state.SetGlobal("obj", toLua(state, object))
	if err := state.DoString(script); err != nil {
		return "", "", err
	}
	health, ok := state.Get(-1).(*lua.LTable)
	if !ok {
		return "", "", fmt.Errorf("the script returns no table")
	}
	return health.RawGetString("status").String(), health.RawGetString("message").String(), nil
}

func holds(expression string, object map[string]any) (bool, error) {
	env, err := cel.NewEnv()
	if err != nil {
		return false, err
	}
	parsed, issues := env.Parse(expression)
	if issues.Err() != nil {
		return false, issues.Err()
	}
	program, err := env.Program(parsed)
	if err != nil {
		return false, err
	}
	value, _, err := program.Eval(object)
	if err != nil {
		return false, err
	}
	found, ok := value.Value().(bool)
	if !ok {
		return false, fmt.Errorf("%s is %v, not true or false", expression, value)
	}
	return found, nil
}

// flux returns Unknown where an expression cannot be evaluated, such as while there is no status.
func flux(asked question, object map[string]any) string {
	status, _ := object["status"].(map[string]any)
	metadata, _ := object["metadata"].(map[string]any)
	if observed, ok := status["observedGeneration"]; ok && observed != metadata["generation"] {
		return "InProgress"
	}
	for _, one := range [][2]string{{asked.Failed, "Failed"}, {asked.Current, "Current"}} {
		if found, err := holds(one[0], object); err != nil {
			return "Unknown"
		} else if found {
			return one[1]
		}
	}
	return "InProgress"
}

func main() {
	var asked question
	if err := json.NewDecoder(os.Stdin).Decode(&asked); err != nil {
		log.Fatal(err)
	}
	answers := []answer{}
	for _, object := range asked.Objects {
		status, message, err := argo(asked.Lua, object)
		if err != nil {
			log.Fatal(err)
		}
		answers = append(answers, answer{status, message, flux(asked, object)})
	}
	if err := json.NewEncoder(os.Stdout).Encode(answers); err != nil {
		log.Fatal(err)
	}
}

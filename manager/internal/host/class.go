package host

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/tristrand/tristrand/internal/pickle"
)

// exceptions are the classes that values may be instances of, by module.
var exceptions = map[string][]string{
	"builtins": strings.Fields(`BaseException Exception ArithmeticError AssertionError AttributeError BlockingIOError
		BrokenPipeError BufferError ChildProcessError ConnectionAbortedError ConnectionError ConnectionRefusedError
		ConnectionResetError EOFError FileExistsError FileNotFoundError FloatingPointError GeneratorExit
		ImportError IndentationError IndexError InterruptedError IsADirectoryError KeyError KeyboardInterrupt
		LookupError MemoryError ModuleNotFoundError NameError NotADirectoryError NotImplementedError OSError
		OverflowError PermissionError ProcessLookupError RecursionError ReferenceError RuntimeError StopAsyncIteration
		StopIteration SyntaxError SystemError SystemExit TabError TimeoutError TypeError UnboundLocalError ValueError
		UnicodeError UnicodeDecodeError UnicodeEncodeError UnicodeTranslateError ExceptionGroup BaseExceptionGroup
		ZeroDivisionError Warning UserWarning DeprecationWarning RuntimeWarning BytesWarning EncodingWarning
		FutureWarning ImportWarning PendingDeprecationWarning ResourceWarning SyntaxWarning UnicodeWarning`),
	"asyncio.exceptions":       {"CancelledError", "InvalidStateError", "TimeoutError", "IncompleteReadError", "LimitOverrunError"},
	"binascii":                 {"Error"},
	"concurrent.futures._base": {"CancelledError", "InvalidStateError", "TimeoutError", "BrokenExecutor"},
	"json.decoder":             {"JSONDecodeError"},
	"socket":                   {"gaierror", "herror"},
	"struct":                   {"error"},
	"subprocess":               {"SubprocessError", "CalledProcessError", "TimeoutExpired"},
	"zlib":                     {"error"},
	"queue":                    {"Empty", "Full", "ShutDown"},
	"_queue":                   {"Empty"},
	"threading":                {"BrokenBarrierError"},
	"multiprocessing.context":  {"ProcessError", "BufferTooShort", "TimeoutError", "AuthenticationError"},
	managers:                   {"RemoteError"},
}

// proxies are the classes of Python's own proxies.
var proxies = strings.Fields(`AutoProxy AcquirerProxy ArrayProxy BarrierProxy BaseListProxy BaseProxy BaseDictProxy
	BaseSetProxy ConditionProxy DictProxy EventProxy IteratorProxy ListProxy NamespaceProxy PoolProxy SetProxy
	ValueProxy`)

var errShape = errors.New("the arguments are not those that it takes")

// Classes decide which names of Python's a pickle may have.
type Classes struct {
	// Table finds the objects that proxies stand for; nil: they are another's.
	Table *Table

	// Names may be named, as functions or proxies' classes are, "module.name".
	Names map[string]bool

	// Other says what becomes of what is not known; nil refuses it.
	Other *pickle.Class
}

// Find is a pickle.Options.Find.
func (cs *Classes) Find(g pickle.Global) (*pickle.Class, error) {
	if g.Module == "__builtin__" || g.Module == "exceptions" {
		g.Module = "builtins" // in protocol 2
	}
	switch {
	case g.Module == "array" && g.Name == "array":
		return arrayClass, nil
	case g.Module == "builtins" && (g.Name == "Ellipsis" || g.Name == "NotImplemented"):
		return nil, nil
	case cs.Names[g.String()]:
		c, _ := pickle.Builtin(g) // list, say, is both
		return c, nil
	case cs.Table != nil && g.Module == "builtins" && iterators[g.Name].most > 0:
		return iteratorClass, nil
	case cs.Table != nil && g == itemGetter:
		return itemGetterClass, nil
	case cs.Table != nil && g == getAttr:
		return attrClass, nil
	case g.Module == managers:
		if c, ok := cs.ofManagers(g.Name); ok {
			return c, nil
		}
	}
	if c, ok := pickle.Builtin(g); ok {
		return c, nil
	}
	if c, ok := pickle.Data(g); ok {
		return c, nil
	}
	if slices.Contains(exceptions[g.Module], g.Name) {
		return exceptionClass, nil
	}
	if cs.Other != nil {
		return cs.Other, nil
	}
	return nil, fmt.Errorf("%s is not on the list of what may be named", g)
}

func (cs *Classes) ofManagers(name string) (*pickle.Class, bool) {
	switch {
	case name == "Token":
		return tokenClass, true
	case name == "RebuildProxy":
		return &pickle.Class{New: cs.rebuild}, true
	case name == "Namespace" || name == "Value":
		return stateClass, true
	case slices.Contains(proxies, name):
		return nil, true
	}
	return nil, false
}

// rebuild makes a proxy.
func (cs *Classes) rebuild(_ pickle.Global, args pickle.Tuple, _ bool) (any, error) {
	if len(args) < 3 || len(args) > 4 {
		return nil, fmt.Errorf("a proxy: %w", errShape)
	}
	class, ok1 := args[0].(pickle.Global)
	token, ok2 := args[1].(*Token)
	if !ok1 || !ok2 || args[2] != any("pickle") {
		return nil, fmt.Errorf("a proxy: %w", errShape)
	}
	if len(args) == 4 {
		if _, ok := args[3].(*pickle.Dict); !ok {
			return nil, fmt.Errorf("a proxy: %w", errShape)
		}
	}
	p := &Proxy{Class_: class, Token: token, Args: args}
	if cs.Table != nil {
		e, err := cs.Table.refer(token.ID)
		if err != nil {
			return nil, err
		}
		p.Entry = e
	}
	return p, nil
}

var tokenClass = &pickle.Class{
	New: func(_ pickle.Global, args pickle.Tuple, _ bool) (any, error) {
		t := new(Token)
		if len(args) == 0 {
			return t, nil
		}
		return t, t.set(args)
	},
	Build: func(v, state any) (any, error) {
		t, ok1 := v.(*Token)
		parts, ok2 := state.(pickle.Tuple)
		if !ok1 || !ok2 || t.ID != "" {
			return nil, fmt.Errorf("a token: %w", errShape)
		}
		return t, t.set(parts)
	},
}

func (t *Token) set(parts pickle.Tuple) error {
	if len(parts) != 3 {
		return fmt.Errorf("a token: %w", errShape)
	}
	id, ok := parts[2].(string)
	if !ok || id == "" {
		return fmt.Errorf("a token: %w", errShape)
	}
	t.Type, t.Address, t.ID = parts[0], parts[1], id
	return nil
}

var exceptionClass = &pickle.Class{
	New: func(g pickle.Global, args pickle.Tuple, _ bool) (any, error) {
		return &PythonError{Type: g, Args: args}, nil
	},
	Build: func(v, state any) (any, error) {
		e, ok := v.(*PythonError)
		if !ok || e.Attr != nil {
			return nil, fmt.Errorf("an exception: %w", errShape)
		}
		if _, ok := state.(*pickle.Dict); !ok {
			return nil, fmt.Errorf("an exception: %w", errShape)
		}
		e.Attr = state
		return e, nil
	},
}

// stateClass keeps an instance that is made without arguments and has a dict.
var stateClass = &pickle.Class{
	New: func(g pickle.Global, args pickle.Tuple, isNew bool) (any, error) {
		if !isNew || len(args) != 0 {
			return nil, fmt.Errorf("%s: %w", g, errShape)
		}
		return &pickle.Object{Class: g, New: true}, nil
	},
	Build: func(v, state any) (any, error) {
		if _, ok := state.(*pickle.Dict); !ok {
			return nil, fmt.Errorf("a %s: %w", pickle.TypeName(v), errShape)
		}
		return pickle.Symbolic.Build(v, state)
	},
}

var arrayClass = &pickle.Class{New: func(_ pickle.Global, args pickle.Tuple, _ bool) (any, error) {
	if len(args) != 2 {
		return nil, fmt.Errorf("an array: %w", errShape)
	}
	return NewArrayData(args[0], args[1])
}}

package tristrand_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/fstest"
)

const (
	layerModule   = "github.com/tristrand/tristrand"
	layerMaxLines = 500

	modSys         = "golang.org/x/sys"
	modTerm        = "golang.org/x/term"
	modCBOR        = "github.com/fxamacker/cbor/v2"
	modNATS        = "github.com/nats-io/nats.go"
	modNATSServer  = "github.com/nats-io/nats-server/v2"
	modKong        = "github.com/alecthomas/kong"
	modProgressbar = "github.com/schollz/progressbar/v3"
	modPorcupine   = "github.com/anishathalye/porcupine"
	modRapid       = "pgregory.net/rapid"
	modTestscript  = "github.com/rogpeppe/go-internal"
	modJWT         = "github.com/nats-io/jwt/v2"
	modNKeys       = "github.com/nats-io/nkeys"
)

// layerRule says what the code of one package, its tests aside, may import
// besides the standard library and itself.
type layerRule struct {
	ours   []string // packages of this module: "." is the root, "x/..." is x and all below it
	theirs []string // packages of other modules, by the start of their path
}

// Each row of DESIGN's house, left to right: a package imports what stands to
// its left, never its neighbour.
var (
	layerEngines = []string{"internal/...", "strand", ".", "local"}
	layerProcess = append(slices.Clone(layerEngines), "thread", "coro", "shm")
	layerTop     = append(slices.Clone(layerProcess), "process")
)

// layerRules has a row for every package. Rows of packages that do not exist
// yet are harmless; a folder without a row fails the test.
var layerRules = map[string]layerRule{
	"internal/...": {ours: []string{"internal/..."}, theirs: []string{modSys, modCBOR}},

	"internal/crew":  {ours: []string{"internal/...", "strand", "."}},
	"internal/fault": {ours: []string{"strand", "."}},
	"internal/items": {ours: []string{"."}},

	// These need the standard library only, so that whoever imports them for
	// a lock or a pool takes on no other module.
	"strand": {ours: []string{"internal/..."}},
	".":      {ours: []string{"internal/...", "strand"}},
	"local":  {ours: []string{"internal/...", "strand", "."}},
	"thread": {ours: layerEngines},
	"coro":   {ours: layerEngines},

	"shm":     {ours: layerEngines, theirs: []string{modSys, modCBOR}},
	"process": {ours: layerProcess, theirs: []string{modSys, modCBOR}},

	"cluster":       {ours: layerTop, theirs: []string{modSys, modCBOR, modNATS}},
	"cluster/embed": {ours: append(slices.Clone(layerTop), "cluster"), theirs: []string{modSys, modNATS, modNATSServer}},
	"server":        {ours: layerTop, theirs: []string{modSys}},
	"manager/...":   {ours: append(slices.Clone(layerTop), "manager/..."), theirs: []string{modSys}},
	"selector":      {ours: []string{"internal/..."}, theirs: []string{modSys}},
	"explore":       {ours: layerTop},
	// What it shows it reads through the waist, so it works for every engine.
	"inspect": {ours: []string{"internal/...", "strand"}},

	// A suite that reached into one engine could not judge the others.
	"conformance/...": {ours: []string{"conformance/...", "strand", "."}, theirs: []string{modPorcupine, modRapid}},

	"cmd/...":      {ours: []string{"./..."}, theirs: []string{modKong, modProgressbar, modTerm, modSys, modNATS, modNATSServer}},
	"examples/...": {ours: []string{"./..."}},
}

// layerTestModules are for tests; tests may import anything of ours too.
var layerTestModules = []string{modPorcupine, modRapid, modTestscript, modJWT, modNKeys}

// layerTestOnly lists our packages that exist to be called from tests.
var layerTestOnly = []string{"conformance/..."}

// layerBadNames say nothing about what is inside.
var layerBadNames = []string{"util", "utils", "common", "helper", "helpers", "types", "misc"}

// layerReach lists modules that must not be linked in by accident, however
// long the chain of imports, with the packages that may reach them.
var layerReach = map[string][]string{
	modNATSServer:  {"cluster/embed", "cmd/...", "examples/..."},
	modKong:        {"cmd/..."},
	modProgressbar: {"cmd/..."},
	modPorcupine:   {"conformance/..."},
	modRapid:       {"conformance/..."},
	modTestscript:  nil,
}

func TestLayering(t *testing.T) {
	for _, fault := range layerFaults(t, os.DirFS(".")) {
		t.Error(fault)
	}
}

// TestLayeringReach asks the go command what each package links in on each
// operating system: the files alone do not tell what other modules bring.
func TestLayeringReach(t *testing.T) {
	for _, goos := range []string{"linux", "darwin", "windows"} {
		for pkg, deps := range layerDeps(t, goos) {
			for mod, allowed := range layerReach {
				i := slices.IndexFunc(deps, func(dep string) bool { return layerUnder(dep, mod) })
				if i >= 0 && !layerMatch(allowed, pkg) {
					t.Errorf("%s on %s links in %s, which only %v may; see 'go mod why %[3]s'", pkg, goos, deps[i], allowed)
				}
			}
		}
	}
}

// TestLayeringFindsFaults breaks each rule once in a tree of its own.
func TestLayeringFindsFaults(t *testing.T) {
	const ours = `"` + layerModule
	tests := []struct{ name, file, src, want string }{
		{"in order", "thread/a.go", `package thread; import (_ "context"; _ ` + ours + `/local"; _ ` + ours + `")`, ""},
		{"own subtree", "cmd/tristrand/run/a.go", `package run; import _ ` + ours + `/cmd/tristrand/out"`, ""},
		{"any of ours in a test", "strand/a_test.go", `package strand_test; import _ ` + ours + `/local"`, ""},
		{"test module in a test", "local/a_test.go", `package local; import _ "pgregory.net/rapid"`, ""},
		{"nested module", "bench/a.go", `package main; import _ "github.com/panjf2000/ants/v2"`, ""},
		{"generated and long", "local/a.go", "// Code generated by stringer. DO NOT EDIT.\n\npackage local\n" + strings.Repeat("//\n", 600), ""},

		{"upwards", "strand/a.go", `package strand; import _ ` + ours + `/local"`, "strand must not import local"},
		{"the root upwards", "a.go", `package tristrand; import _ ` + ours + `/thread"`, ". must not import thread"},
		{"internal upwards", "internal/ring/a.go", `package ring; import _ ` + ours + `/strand"`, "internal/ring must not import strand"},
		{"sideways", "thread/a.go", `package thread; import _ ` + ours + `/coro"`, "thread must not import coro"},
		{"sideways on another system", "shm/a_windows.go", `package shm; import _ ` + ours + `/thread"`, "shm must not import thread"},
		{"behind a build tag", "coro/a.go", "//go:build never\n\npackage coro; import _ " + ours + `/shm"`, "coro must not import shm"},
		{"conformance to an engine", "conformance/a.go", `package conformance; import _ ` + ours + `/thread"`, "conformance must not import thread"},
		{"conformance outside tests", "cmd/tristrand/a.go", `package main; import _ ` + ours + `/conformance"`, "outside tests"},
		{"another module", "local/a.go", `package local; import _ "golang.org/x/sys/unix"`, "local must not import golang.org/x/sys/unix"},
		{"test module in code", "thread/a.go", `package thread; import _ "pgregory.net/rapid"`, "thread must not import pgregory.net/rapid"},
		{"command's module in a test", "thread/a_test.go", `package thread; import _ "github.com/alecthomas/kong"`, "must not import github.com/alecthomas/kong"},
		{"unknown folder", "fiber/a.go", `package fiber`, "no row in layerRules"},
		{"folder of tests alone", "fiber/a_test.go", `package fiber`, "no row in layerRules"},
		{"unknown folder below a known one", "thread/steal/a.go", `package steal`, "no row in layerRules"},
		{"empty name by folder", "internal/util/a.go", `package ring`, "says nothing"},
		{"empty name by clause", "internal/ring/a.go", `package helpers`, "says nothing"},
		{"init", "local/a.go", "package local\n\nfunc init() {}", "local/a.go:3: func init"},
		{"long", "local/a.go", "package local\n" + strings.Repeat("//\n", 600), "601 lines"},
		{"does not parse", "local/a.go", "package", "local/a.go"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			faults := layerFaults(t, fstest.MapFS{
				tt.file:                 {Data: []byte(tt.src)},
				"bench/go.mod":          {Data: []byte("module bench")},
				"local/testdata/bad.go": {Data: []byte("package util")},
				".git/hooks/bad.go":     {Data: []byte("package util")},
			})
			if all := strings.Join(faults, "\n"); tt.want == "" && len(faults) > 0 ||
				tt.want != "" && (len(faults) != 1 || !strings.Contains(all, tt.want)) {
				t.Errorf("faults: %q, want one with %q", faults, tt.want)
			}
		})
	}
}

// layerFaults reads the imports from the files, not from the go command, so
// that the files of every operating system and build tag count.
func layerFaults(t *testing.T, tree fs.FS) (faults []string) {
	t.Helper()
	nested := "" // the module inside ours that is being walked
	unknown := map[string]bool{}
	err := fs.WalkDir(tree, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			if base := d.Name(); name != "." && (base == "testdata" || base == "vendor" || base[0] == '.' || base[0] == '_') {
				return fs.SkipDir
			}
			if _, err := fs.Stat(tree, path.Join(name, "go.mod")); err == nil && name != "." {
				nested = name
			}
			return nil
		}
		if path.Ext(name) != ".go" {
			return nil
		}
		f, fileFaults := layerRead(tree, name)
		faults = append(faults, fileFaults...)
		if f == nil || nested != "" && layerUnder(name, nested) {
			return nil
		}
		pkg := path.Dir(name)
		rule, known := layerFind(pkg)
		if !known {
			unknown[pkg] = true
			return nil
		}
		faults = append(faults, layerImports(name, pkg, rule, f)...)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, pkg := range slices.Sorted(maps.Keys(unknown)) {
		faults = append(faults, fmt.Sprintf("package %s has no row in layerRules (layering_test.go): "+
			"say there what it may import, after the house in ARCHITECTURE.md, or move it into a package that has one", pkg))
	}
	return faults
}

// layerRead parses one file and checks what holds for any file of the tree.
func layerRead(tree fs.FS, name string) (*ast.File, []string) {
	src, err := fs.ReadFile(tree, name)
	if err != nil {
		return nil, []string{err.Error()}
	}
	fset := token.NewFileSet()
	f, err := parser.ParseFile(fset, name, src, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		return nil, []string{err.Error()}
	}
	var faults []string
	if n := bytes.Count(src, []byte("\n")); n > layerMaxLines && !ast.IsGenerated(f) {
		faults = append(faults, fmt.Sprintf("%s has %d lines, more than %d: split it by concept, one to a file", name, n, layerMaxLines))
	}
	for _, word := range []string{path.Base(path.Dir(name)), strings.TrimSuffix(f.Name.Name, "_test")} {
		if slices.Contains(layerBadNames, word) {
			faults = append(faults, fmt.Sprintf("%s: a package named %q says nothing: name it for the thing that it holds", name, word))
		}
	}
	if strings.HasSuffix(name, "_test.go") {
		return f, faults
	}
	for _, decl := range f.Decls {
		if fn, ok := decl.(*ast.FuncDecl); ok && fn.Recv == nil && fn.Name.Name == "init" {
			faults = append(faults, fmt.Sprintf("%s:%d: func init: importing a package must do no work; do it at first use",
				name, fset.Position(fn.Pos()).Line))
		}
	}
	return f, faults
}

func layerImports(name, pkg string, rule layerRule, f *ast.File) (faults []string) {
	test := strings.HasSuffix(name, "_test.go")
	for _, spec := range f.Imports {
		dep, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			return append(faults, fmt.Sprintf("%s: %v", name, err))
		}
		switch first, _, _ := strings.Cut(dep, "/"); {
		case layerUnder(dep, layerModule):
			our := path.Clean("." + strings.TrimPrefix(dep, layerModule))
			switch {
			case test || our == pkg:
			case layerMatch(layerTestOnly, our) && !layerMatch(layerTestOnly, pkg):
				faults = append(faults, fmt.Sprintf("%s: %s must not import %s outside tests", name, pkg, our))
			case !layerMatch(rule.ours, our):
				faults = append(faults, fmt.Sprintf("%s: %s must not import %s: its row in layerRules (layering_test.go) has %v", name, pkg, our, rule.ours))
			}
		case !strings.Contains(first, "."): // the standard library
		case slices.ContainsFunc(rule.theirs, func(mod string) bool { return layerUnder(dep, mod) }):
		case test && slices.ContainsFunc(layerTestModules, func(mod string) bool { return layerUnder(dep, mod) }):
		default:
			faults = append(faults, fmt.Sprintf("%s: %s must not import %s: its row in layerRules (layering_test.go) "+
				"has %v, and tests may use %v", name, pkg, dep, rule.theirs, layerTestModules))
		}
	}
	return faults
}

// layerFind returns the row of the table for pkg: its own, else the subtree's.
func layerFind(pkg string) (layerRule, bool) {
	if rule, ok := layerRules[pkg]; ok {
		return rule, true
	}
	for dir := pkg; dir != "."; dir = path.Dir(dir) {
		if rule, ok := layerRules[dir+"/..."]; ok {
			return rule, true
		}
	}
	return layerRule{}, false
}

func layerMatch(patterns []string, pkg string) bool {
	return slices.ContainsFunc(patterns, func(p string) bool {
		dir, subtree := strings.CutSuffix(p, "/...")
		return pkg == dir || subtree && (dir == "." || layerUnder(pkg, dir))
	})
}

// layerUnder reports whether name is dir or lies below it.
func layerUnder(name, dir string) bool {
	return name == dir || strings.HasPrefix(name, dir+"/")
}

// layerDeps returns all that each package of the module links in, by its path
// in the module.
func layerDeps(t *testing.T, goos string) map[string][]string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", "list", "-json=ImportPath,Deps", "./...")
	cmd.Env = append(os.Environ(), "GOOS="+goos, "GOARCH=amd64", "CGO_ENABLED=0")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list for %s: %v\n%s", goos, err, &stderr)
	}
	deps := map[string][]string{}
	for dec := json.NewDecoder(bytes.NewReader(out)); dec.More(); {
		var pkg struct {
			ImportPath string
			Deps       []string
		}
		if err := dec.Decode(&pkg); err != nil {
			t.Fatalf("go list for %s: %v", goos, err)
		}
		deps[path.Clean("."+strings.TrimPrefix(pkg.ImportPath, layerModule))] = pkg.Deps
	}
	if len(deps) == 0 {
		t.Fatalf("go list for %s named no package", goos)
	}
	return deps
}

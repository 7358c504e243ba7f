// Package timeline draws what ran where and when as one HTML page: for every
// run a picture with a row per worker and a bar per job, all runs of a task on
// the same scale.
//
// The pictures are SVG made here, so that the page needs no script and nothing
// from elsewhere; it prints, follows the reader's light or dark setting, and
// gives the same facts as tables.
package timeline

import (
	"embed"
	"html/template"
	"io"
	"sync"
	"time"
)

// Page is the whole page.
type Page struct {
	Title string
	Lead  string // one paragraph under the title
	Tasks []Task
	Notes []string // the small print at the end
}

// Task is one piece of work that was run several times.
type Task struct {
	Name  string
	About string // what the inputs were
	Sum   string // what the runs show, in a sentence
	Runs  []Run
}

// Run is one run of a task.
type Run struct {
	Engine  string
	About   string // what the engine is, in a few words
	Wall    time.Duration
	Columns []Column // the row of the table, beside the engine's name
	Bars    []Bar
}

// Column is a cell of the table; the runs of a task have the same heads.
type Column struct{ Head, Cell string }

// Bar is one job.
type Bar struct {
	Worker     string // names its row; rows are in the order of their names, 2 before 10
	Start, End time.Duration
	Name       string // what it worked on
	Result     string // what came out, or what went wrong
	Failed     bool
}

//go:embed page.tmpl page.css
var files embed.FS

var page = sync.OnceValue(func() *template.Template {
	return template.Must(template.New("page.tmpl").Funcs(template.FuncMap{
		"style": func() (template.CSS, error) {
			css, err := files.ReadFile("page.css")
			return template.CSS(css), err
		},
	}).ParseFS(files, "page.tmpl"))
})

// Write writes the page to w.
func Write(w io.Writer, p Page) error {
	return page().Execute(w, newView(p))
}

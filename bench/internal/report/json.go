package report

import (
	"encoding/json"
	"io"
	"math"

	"github.com/tristrand/tristrand/bench/internal/measure"
)

// A Document is all that a run found out.
type Document struct {
	Environment Environment
	Pairs       int
	Quick       bool
	Results     []measure.Result
}

type jsonRow struct {
	Name     string            `json:"row"`
	What     string            `json:"what"`
	Unit     string            `json:"unit"`
	Ours     jsonSide          `json:"ours"`
	Peer     *jsonSide         `json:"peer,omitempty"`
	Floor    *jsonSide         `json:"floor,omitempty"`
	Ratio    *float64          `json:"ratio,omitempty"`
	Interval *measure.Interval `json:"interval,omitempty"`
	Own      *measure.Interval `json:"ours_interval,omitempty"`
	Bound    *measure.Bound    `json:"bound,omitempty"`
	Absolute *measure.Bound    `json:"absolute_bound,omitempty"`
	Scale    string            `json:"absolute_unit,omitempty"`
	Allocs   *float64          `json:"allocs,omitempty"`
	Most     *float64          `json:"allocs_bound,omitempty"`
	Verdict  measure.Verdict   `json:"verdict,omitempty"`
	By       float64           `json:"beyond,omitempty"`
	Why      string            `json:"why,omitempty"`
	Pairs    []measure.Pair    `json:"pairs"`
}

type jsonSide struct {
	Name   string   `json:"name"`
	Median *float64 `json:"median,omitempty"`
}

// JSON writes the document as one object, every sample in it.
func JSON(w io.Writer, d Document) error {
	rows := make([]jsonRow, 0, len(d.Results))
	for _, r := range d.Results {
		rows = append(rows, newRow(r))
	}
	enc := json.NewEncoder(w)
	enc.SetIndent("", "\t")
	return enc.Encode(struct {
		Environment Environment `json:"environment"`
		Level       float64     `json:"level"`
		Pairs       int         `json:"pairs"`
		Quick       bool        `json:"quick,omitempty"`
		Rows        []jsonRow   `json:"rows"`
	}{d.Environment, measure.Level, d.Pairs, d.Quick, rows})
}

func newRow(r measure.Result) jsonRow {
	units := map[measure.Unit]string{measure.PerOp: "ns/op", measure.Nanos: "ns", measure.Bytes: "bytes"}
	j := jsonRow{
		Name: r.Row.Name, What: r.Row.What, Unit: units[r.Row.Unit],
		Ours: jsonSide{Name: r.Row.Ours.Name}, Verdict: r.Verdict, By: r.By, Why: r.Why, Pairs: r.Pairs,
	}
	if r.Row.Peer.Name != "" {
		j.Peer = &jsonSide{Name: r.Row.Peer.Name}
	}
	if r.Row.Floor.Name != "" {
		j.Floor = &jsonSide{Name: r.Row.Floor.Name}
	}
	if b := r.Row.Bound; !b.None() {
		j.Bound = &b
	}
	if b := r.Row.Absolute; !b.None() {
		j.Absolute, j.Scale = &b, r.Row.ScaleName
	}
	if r.Row.Allocs != 0 {
		most := max(r.Row.Allocs, 0)
		j.Most = &most
	}
	if !measured(r) {
		return j
	}
	j.Ours.Median, j.Own, j.Allocs = &r.Ours, &r.Own, &r.Allocs
	if j.Peer != nil {
		j.Peer.Median, j.Ratio, j.Interval = finite(r.Peer), finite(r.Ratio), &r.Interval
	}
	if j.Floor != nil {
		j.Floor.Median = finite(r.Floor)
	}
	return j
}

func finite(x float64) *float64 {
	if math.IsNaN(x) || math.IsInf(x, 0) {
		return nil
	}
	return &x
}

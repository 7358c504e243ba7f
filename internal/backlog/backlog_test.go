package backlog_test

import (
	"slices"
	"testing"

	"github.com/tristrand/tristrand/internal/backlog"
)

func drain(q *backlog.Queue[int]) (all []int) {
	for q.Len() > 0 {
		all = append(all, q.Pop())
	}
	return all
}

func TestOrder(t *testing.T) {
	var q backlog.Queue[int]
	for i, p := range []int{0, 5, 0, -1, 5, 9, 0} {
		q.Push(i, p)
	}
	if got, want := drain(&q), []int{5, 1, 4, 0, 2, 6, 3}; !slices.Equal(got, want) {
		t.Errorf("they come as %v, want %v", got, want)
	}
}

func TestWhatIsReturnedIsNext(t *testing.T) {
	var q backlog.Queue[int]
	for i := range 4 {
		q.Push(i, 0)
	}
	a, b := q.Pop(), q.Pop()
	q.Push(9, 9)
	q.Return(b)
	q.Return(a)
	if got, want := drain(&q), []int{0, 1, 9, 2, 3}; !slices.Equal(got, want) {
		t.Errorf("they come as %v, want %v", got, want)
	}
}

func TestTheRingGrowsAndTurns(t *testing.T) {
	var q backlog.Queue[int]
	next, want := 0, 0
	for round := range 100 {
		for range round {
			q.Push(next, 0)
			next++
		}
		for range round - round/3 {
			if got := q.Pop(); got != want {
				t.Fatalf("got %d, want %d", got, want)
			}
			want++
		}
	}
}

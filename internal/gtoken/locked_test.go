package gtoken

import (
	"runtime"
	"testing"
)

func TestLockedTellsWhetherTheThreadIsLocked(t *testing.T) {
	for range 100 {
		done := make(chan [4]bool)
		go func() {
			var got [4]bool
			got[0] = Locked()
			runtime.LockOSThread()
			got[1] = Locked()
			runtime.LockOSThread()
			runtime.UnlockOSThread()
			got[2] = Locked()
			runtime.UnlockOSThread()
			got[3] = Locked()
			done <- got
		}()
		if got := <-done; got != [4]bool{false, true, true, false} {
			t.Fatalf("before, locked, locked twice less one, unlocked: got %v", got)
		}
	}
	if readable && lockedAt.Load() <= 0 {
		t.Errorf("the place of the mark was not found: %d", lockedAt.Load())
	}
}

func TestFreeNeverSaysSoOfALockedGoroutine(t *testing.T) {
	done := make(chan bool)
	go func() {
		runtime.LockOSThread()
		before := quickAt.Swap(0) // as long as the place is not known
		_, early := Free()
		quickAt.Store(before)
		Locked()
		_, late := Free()
		done <- early || late
	}()
	if <-done {
		t.Error("a locked goroutine is said to be free")
	}
	token, free := Free()
	if token != Get() || free != readable {
		t.Errorf("got %#x, %v", token, free)
	}
}

func TestLockedWithoutThePlaceAsksTheStackTrace(t *testing.T) {
	done := make(chan bool)
	go func() {
		runtime.LockOSThread()
		done <- lockedSlow(-1)
	}()
	if !<-done {
		t.Error("a locked goroutine's trace does not say so")
	}
	if lockedSlow(-1) {
		t.Error("a goroutine that is not locked is said to be")
	}
}

func BenchmarkLocked(b *testing.B) {
	for b.Loop() {
		Locked()
	}
}

package coro

// tmp
type poller struct{ users int }

func (p *poller) poll(h *Hub)  {}
func (p *poller) sleep(h *Hub) {}
func (p *poller) wake()        {}
func (p *poller) close()       {}

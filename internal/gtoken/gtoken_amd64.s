#include "textflag.h"

// func Get() Token
TEXT ·Get(SB), NOSPLIT|NOFRAME, $0-8
	MOVQ (TLS), AX
	MOVQ AX, ret+0(FP)
	RET

// func callersReturn() uintptr
// BP is the frame of Caller. The word there is the frame of the function that
// called Caller, and the word above that frame's base is where it will return.
TEXT ·callersReturn(SB), NOSPLIT|NOFRAME, $0-8
	MOVQ 0(BP), AX
	MOVQ 8(AX), AX
	MOVQ AX, ret+0(FP)
	RET

#include "textflag.h"

// func Get() Token
TEXT ·Get(SB), NOSPLIT|NOFRAME, $0-8
	MOVQ (TLS), AX
	MOVQ AX, ret+0(FP)
	RET

// func Caller() uintptr
// BP is the frame of the function that called Caller. The word above its base
// is where that function will return to.
TEXT ·Caller(SB), NOSPLIT|NOFRAME, $0-8
	MOVQ 8(BP), AX
	MOVQ AX, ret+0(FP)
	RET

// func word(off uintptr) uintptr
TEXT ·word(SB), NOSPLIT|NOFRAME, $0-16
	MOVQ (TLS), AX
	MOVQ off+0(FP), BX
	MOVQ (AX)(BX*1), AX
	MOVQ AX, ret+8(FP)
	RET

// func getAnd(off uintptr) (t Token, w uintptr)
TEXT ·getAnd(SB), NOSPLIT|NOFRAME, $0-24
	MOVQ (TLS), AX
	MOVQ off+0(FP), BX
	MOVQ AX, t+8(FP)
	MOVQ (AX)(BX*1), AX
	MOVQ AX, w+16(FP)
	RET

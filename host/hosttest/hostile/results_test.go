package hostile

import (
	"fmt"
	"strings"
	"testing"

	"github.com/mootchat/moot/engine/hook"
	"github.com/mootchat/moot/host/abi"
	"github.com/mootchat/moot/host/hosttest/asm"
)

// lie is an invalid pointer and length of a result.
type lie struct {
	name   string
	ptr, n int
	says   string
}

// end is the size of the memory of a guest.
const end = 24 << 16

var lies = []lie{
	{"beyond the memory", end, 1, "in its memory"},
	{"over the end of the memory", end - 4, 5, "in its memory"},
	{"wraps around", -16, 100, "in its memory"},
	{"wraps around to all of it", -1, -1, "in its memory"},
	{"negative length", text, -5, "in its memory"},
	{"length of 4 GiB", 0, -1, "in its memory"},
	{"too long", 1 << 17, abi.MaxResult + 1, "in its memory"},
	{"not UTF-8", 64, 4, "UTF-8"},
	{"cut within a letter", 80, 1, "UTF-8"},
}

// slot is a result with a pointer and a length.
type slot struct {
	name   string
	hook   hook.Hook
	code   int      // result of the hook with which the host reads the slot
	before asm.Code // code that sets the other values that the result needs
	at     int      // address of the pointer; the length follows it
}

const variant = scratch // address of the first variant of a guest

var slots = []slot{
	{"reason", hook.OnSayReceive, abi.Deny, "", frame + abi.ResultReason},
	{"reason", hook.Join, abi.Deny, "", frame + abi.ResultReason},
	{"reason", hook.Action, abi.Deny, "", frame + abi.ResultReason},
	{"message", hook.OnSayReceive, abi.Rewritten, put(abi.ResultMessageKind, abi.KindText), frame + abi.ResultMessage},
	{"message", hook.Say, abi.Rewritten, put(abi.ResultMessageKind, abi.KindJSON), frame + abi.ResultMessage},
	{"extra", hook.OnSayReceive, abi.Rewritten, "", frame + abi.ResultExtra},
	{"extra", hook.Say, abi.Rewritten, "", frame + abi.ResultExtra},
	{"room", hook.OnSayReceive, abi.Rewritten, "", frame + abi.ResultRoom},
	{"from", hook.OnSayReceive, abi.Rewritten, "", frame + abi.ResultFrom},
	{"reply", hook.Action, abi.Allow, "", frame + abi.ResultReply},
	{"message", hook.Say, abi.PerReceiver, oneVariant + poke(variant+abi.VariantKind, abi.KindText), variant + abi.VariantMessage},
	{"extra", hook.Say, abi.PerReceiver, oneVariant, variant + abi.VariantExtra},
}

// oneVariant writes a table with one variant, at variant.
var oneVariant = put(abi.ResultVariants, variant) + put(abi.ResultVariantCount, 1)

func TestResultPointersAreChecked(t *testing.T) {
	var attacks []attack
	for n, s := range slots {
		for _, l := range lies {
			attacks = append(attacks, attack{
				name:  fmt.Sprintf("%d %s at %v %s", n, s.name, s.hook, l.name),
				tries: "to have the host read there, and tell others what it found",
				hooks: []hook.Hook{s.hook}, kind: "protocol", says: s.name + ": ",
				build: func(g *guest) asm.Code {
					g.Data(64, []byte("ab\xff\xfe"))
					g.Data(80, []byte("é"))
					return s.before + poke(s.at, l.ptr) + poke(s.at+4, l.n) + answers(s.code)
				},
			})
		}
	}
	run(t, attacks)
}

func TestUndefinedAnswersFail(t *testing.T) {
	var attacks []attack
	for _, code := range []int{8, 9, 255, 1 << 16, 1<<31 - 1} {
		attacks = append(attacks, attack{name: fmt.Sprintf("code %d", code), tries: "an answer that there is not", hooks: everyHook,
			kind: "protocol", says: fmt.Sprintf("returned %d, which means nothing there", code), build: does(answers(code))})
	}
	for _, code := range []int{-1, -1 << 31} {
		attacks = append(attacks, attack{name: fmt.Sprintf("code %d", code), tries: "an answer below all others", hooks: everyHook,
			kind: "trap", says: fmt.Sprintf("returned an error: %d", code), build: does(answers(code))})
	}
	run(t, append(attacks,
		attack{name: "rewrites where nothing can be", tries: "to change a recorded event", kind: "protocol", says: "means nothing there",
			hooks: []hook.Hook{hook.Connect, hook.Join, hook.Leave, hook.Disconnect}, build: does(answers(abi.Rewritten))},
		attack{name: "drops where nothing can be", tries: "to have a join that never was", kind: "protocol", says: "means nothing there",
			hooks: []hook.Hook{hook.Connect, hook.Join, hook.Leave, hook.Disconnect, hook.Action}, build: does(answers(abi.Drop))},
		attack{name: "per receiver where there are none", tries: "to have verdicts read that nobody made room for", kind: "protocol", says: "means nothing there",
			hooks: []hook.Hook{hook.Connect, hook.Join, hook.OnSayReceive, hook.Leave, hook.Disconnect, hook.Action},
			build: does(answers(abi.PerReceiver))},
		attack{name: "holds what cannot wait", tries: "to keep a join or a receiver waiting", kind: "protocol", says: "means nothing there",
			hooks: []hook.Hook{hook.Connect, hook.Join, hook.Say, hook.Leave, hook.Disconnect, hook.Action}, build: does(answers(abi.Hold))},
	))
}

func TestInvalidContentFails(t *testing.T) {
	attacks := []attack{
		rewriting("kind of message there is not", "message: unknown kind 3", "", put(abi.ResultMessageKind, 3)+span(abi.ResultMessage, text, 5)),
		rewriting("message that is not JSON", "message: not JSON", "{", put(abi.ResultMessageKind, abi.KindJSON)+span(abi.ResultMessage, 64, 1)),
		rewriting("JSON after JSON", "message: not JSON", "{}\r\n{}", put(abi.ResultMessageKind, abi.KindJSON)+span(abi.ResultMessage, 64, 6)),
		rewriting("deep JSON", "message: not JSON", strings.Repeat("[", 30_000)+strings.Repeat("]", 30_000),
			put(abi.ResultMessageKind, abi.KindJSON)+span(abi.ResultMessage, 64, 60_000)),
		rewriting("extra, not an object", "extra: not a JSON object", "[]", span(abi.ResultExtra, 64, 2)),
		rewriting("extra that is null", "extra: not a JSON object", "null", span(abi.ResultExtra, 64, 4)),
		rewriting("sent before 1970", "sentAt: -1 ms", "", asm.I32(frame)+asm.I64(-1)+asm.Store64(abi.ResultSentAt)),
		rewriting("room with a line end", "is not a valid room name", "a\r\nb", span(abi.ResultRoom, 64, 4)),
		rewriting("room of 300 bytes", "is not a valid room name", strings.Repeat("r", 300), span(abi.ResultRoom, 64, 300)),
		rewriting("from with a line end", "is not a sender", "a\nb", span(abi.ResultFrom, 64, 3)),
	}
	for _, name := range []string{"context", "messageId", "status", "error", "offset", "epoch", "room", "from", "sentAt", "message", `fr\u006fm`} {
		extra := `{"a":1,"` + name + `":2}`
		attacks = append(attacks, rewriting("extra "+name, "is reserved", extra, span(abi.ResultExtra, 64, len(extra))))
		if name == "message" {
			continue // a reply may have the key message
		}
		reply := rewriting("reply "+name, "is reserved", extra, span(abi.ResultReply, 64, len(extra)))
		reply.hooks = []hook.Hook{hook.Action}
		attacks = append(attacks, reply)
	}
	run(t, attacks)
}

// rewriting returns an attack with content at address 64, which the code uses for results.
func rewriting(name, says, content string, code asm.Code) attack {
	return attack{name: name, tries: "to send clients frames outside of the protocol", kind: "protocol", says: says,
		build: func(g *guest) asm.Code {
			g.Data(64, []byte(content))
			return code + answers(abi.Rewritten)
		}}
}

func TestVariantsAreChecked(t *testing.T) {
	verdict := func(k, n int) asm.Code { // of receiver k
		return asm.I32(frame) + asm.Load32(abi.FrameVerdicts) + asm.I32(n) + asm.Store8(frame+k)
	}
	at := func(ptr, n int) asm.Code { return put(abi.ResultVariants, ptr) + put(abi.ResultVariantCount, n) }
	var attacks []attack
	add := func(name, tries, says string, code asm.Code) {
		attacks = append(attacks, attack{name: name, tries: tries, hooks: []hook.Hook{hook.Say}, kind: "protocol", says: says,
			build: func(g *guest) asm.Code {
				g.Data(1<<17, []byte(strings.Repeat("x", abi.MaxResult)))
				return code + answers(abi.PerReceiver)
			}})
	}
	const where = "or not in its memory"
	add("list beyond the memory", "to have the host read its variants there", where, at(end, 1))
	add("list over the end", "to have the host read half a variant", where, at(end-abi.VariantSize+1, 1))
	add("list that wraps around", "to have the address wrap", where, at(-abi.VariantSize, 2))
	add("254 variants", "more variants than there are verdicts for", where, at(0, abi.MaxVariants+1))
	add("4 billion variants", "to have their size wrap to 0", where, at(0, -1))
	add("variants whose size is 2^32", "to have their size wrap to 0", where, at(0, 1<<30))
	add("variant that there is not", "to give receivers bytes from beyond the variants", "receiver 2 has variant 1 of 1", oneVariant+verdict(2, abi.VerdictVariant+1))
	add("variant without any", "to give receivers a missing variant", "receiver 0 has variant 0 of 0", verdict(0, abi.VerdictVariant))
	add("verdict 255", "a verdict that means nothing", "receiver 1 has variant 253 of 1", oneVariant+verdict(1, 255))
	add("garbage for verdicts", "anything at all", "has variant", asm.I32(frame)+asm.Load32(abi.FrameVerdicts)+asm.I32(frame)+asm.Add+asm.I32(0xaa)+asm.I32(3)+asm.MemoryFill)
	add("variants of 16 MiB", "to have 253 copies made of one text of 64 KiB", "more than 1048576 bytes",
		times(abi.MaxVariants, asm.Get(j)+asm.I32(abi.VariantSize)+multiply+asm.Set(i)+
			pokeAt(abi.VariantMessage, 1<<17)+pokeAt(abi.VariantMessage+4, abi.MaxResult)+pokeAt(abi.VariantKind, abi.KindText))+
			at(abi.VariantSize, abi.MaxVariants))
	run(t, attacks)
}

const multiply asm.Code = "\x6c"

// pokeAt writes a number to the address in local i plus offset.
func pokeAt(offset, n int) asm.Code { return asm.Get(i) + asm.I32(n) + asm.Store32(offset) }

// Cluster runs three nodes on a Redis, kills one, and counts the notices. See README.md.
package main

import (
	"errors"
	"fmt"
	"strings"

	"github.com/mootchat/moot/examples/stage"
)

// each is the number of clients at the node that is killed; the other nodes have one each.
const each = 20

func main() { stage.Play(play) }

func play(s *stage.Stage) error {
	redis, err := s.Redis()
	if err != nil {
		return err
	}
	nodes := make(map[string]*stage.Server)
	for _, name := range []string{"one", "two", "three"} {
		if nodes[name], err = s.Serve("examples/cluster/moot.yaml", "NODE="+name, "REDIS="+redis); err != nil {
			return err
		}
	}
	ann, err := s.Person("ann at node one", nodes["one"], "", "")
	if err != nil {
		return err
	}
	bob, err := s.Person("bob at node two", nodes["two"], "", "")
	if err != nil {
		return err
	}
	if err := errors.Join(ann.Joins("hall"), bob.Joins("hall")); err != nil {
		return err
	}
	lost, err := crowd(s, nodes["three"])
	if err != nil {
		return err
	}
	if err := errors.Join(count(ann, each+2), ann.Says("hall", "hello"), bob.Hears("hello")); err != nil {
		return err
	}
	fmt.Println("# node three is killed")
	nodes["three"].Kill()
	return errors.Join(
		bob.Says("hall", "is anybody there?"),
		ann.Hears("is anybody there?"),
		leave(ann, lost),
		count(bob, 2),
		ann.Says("hall", "some have left"),
		bob.Hears("some have left"),
	)
}

// crowd connects clients to a node, and returns the notice that announces the loss of each.
func crowd(s *stage.Stage, at *stage.Server) (leaves map[string]int, err error) {
	leaves = make(map[string]int)
	for i := range each {
		p, err := s.Person(fmt.Sprint("guest ", i+1, " at node three"), at, "", "")
		if err != nil {
			return nil, err
		}
		if err := p.Joins("hall"); err != nil {
			return nil, err
		}
		leaves[p.ID()+" left"] = 0
	}
	return leaves, nil
}

// leave waits for the notice of each client, and then for a last message: a duplicate notice
// would arrive before it.
func leave(witness *stage.Person, leaves map[string]int) error {
	told, last := 0, "that is all"
	err := witness.Await(func(text string) bool {
		if _, ok := leaves[text]; ok {
			leaves[text]++
			told++
		}
		return told == len(leaves)
	})
	if err != nil {
		return err
	}
	if err := witness.Says("hall", last); err != nil {
		return err
	}
	err = witness.Await(func(text string) bool {
		if strings.HasSuffix(text, " left") {
			leaves[text]++
		}
		return text == last
	})
	if err != nil {
		return err
	}
	for text, times := range leaves {
		if times != 1 {
			return fmt.Errorf("%q was announced %d times", text, times)
		}
	}
	fmt.Printf("%s received %d leaves, each once\n", witness.Name, len(leaves))
	return nil
}

func count(p *stage.Person, want int) error {
	n, err := p.Members("hall")
	if err == nil && n != want {
		err = fmt.Errorf("%d members are in the hall, want %d", n, want)
	}
	fmt.Printf("%s counts %d members\n", p.Name, n)
	return err
}

// Game has two clients play tic-tac-toe in a room while a third watches. See README.md.
package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/mootchat/moot/examples/stage"
)

func main() { stage.Play(play) }

// moves are the cells of X and O in turn.
var moves = []int{4, 0, 2, 6, 3, 5, 8, 7, 1}

func play(s *stage.Stage) error {
	server, err := s.Serve("examples/game/moot.yaml")
	if err != nil {
		return err
	}
	var people [3]*stage.Person
	for i, name := range []string{"ann", "bob", "cleo, who watches,"} {
		if people[i], err = s.Person(name, server, "", ""); err != nil {
			return err
		}
		if err := people[i].Joins("table"); err != nil {
			return err
		}
	}
	watcher := people[2]
	for i, cell := range moves {
		if _, err := people[i%2].Does("game.play", params(cell)); err != nil {
			return err
		}
		b, err := see(watcher)
		if err != nil {
			return err
		}
		fmt.Print(b)
		switch {
		case i == 0:
			err = people[0].MayNotDo("game.play", params(1), "it is not your turn")
		case i == 2:
			err = errors.Join(people[1].MayNotDo("game.play", params(4), "the cell is taken"),
				watcher.MayNotDo("game.play", params(1), "two others play"))
		case b.Winner != "":
			fmt.Println("the end:", b.Winner)
			return nil
		}
		if err != nil {
			return err
		}
	}
	return errors.New("nobody won, and it is not a draw")
}

func params(cell int) map[string]any { return map[string]any{"room": "table", "cell": cell} }

// board is the message of the room after each move.
type board struct {
	Cells  []string
	Winner string
}

func (b board) String() string {
	var text strings.Builder
	for i, mark := range b.Cells {
		if mark == "" {
			mark = "."
		}
		text.WriteString(" " + mark)
		if i%3 == 2 {
			text.WriteByte('\n')
		}
	}
	return text.String()
}

// see waits for the message with the board.
func see(p *stage.Person) (board, error) {
	var heard struct{ Game *board }
	err := p.Await(func(text string) bool {
		heard.Game = nil
		return json.Unmarshal([]byte(text), &heard) == nil && heard.Game != nil
	})
	if err != nil {
		return board{}, err
	}
	return *heard.Game, nil
}

package practice

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/google/uuid"

	"github.com/portico-id/portico/internal/database"
)

// Names tells what practices are called, in one query; those that do not exist
// are left out.
func (s *Store) Names(ctx context.Context, ids []uuid.UUID) (map[uuid.UUID]string, error) {
	names := map[uuid.UUID]string{}
	if len(ids) == 0 {
		return names, nil
	}
	var args []any
	var list []string
	for i, id := range ids {
		args = append(args, id)
		list = append(list, "$"+strconv.Itoa(i+1))
	}
	rows, err := s.db.Query(ctx, `SELECT id, name FROM practices WHERE id IN (`+strings.Join(list, ", ")+`)`, args...)
	_, err = database.Collect(rows, err, func(rows *database.Rows) (struct{}, error) {
		var id uuid.UUID
		var name string
		if err := rows.Scan(&id, &name); err != nil {
			return struct{}{}, err
		}
		names[id] = name
		return struct{}{}, nil
	})
	if err != nil {
		return nil, fmt.Errorf("find names of practices: %w", err)
	}
	return names, nil
}

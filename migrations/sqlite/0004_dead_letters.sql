-- Dead letters say what exactly was wrong, beside the word for it in `reason`.

alter table dead_letters add column detail text not null default '';

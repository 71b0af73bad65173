// SPDX-License-Identifier: GPL-2.0-only
#include "src/model/config_tree.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <yaml.h>

#define CHUNK_SIZE (256 * 1024)
#define QUOTE_HINT                                                                                 \
	"%s; YAML gives '%c' a meaning of its own here: quote the address, as in "                 \
	"\"[2001:db8::10]:80\""

/* Nodes and their texts live and go together. */
struct config_tree_chunk {
	struct config_tree_chunk *next;
	size_t used, size;
	_Alignas(max_align_t) char memory[];
};

/* A list or mapping whose end has not come yet. */
struct open_node {
	struct config_node *node, *last;
};

struct builder {
	struct config_tree *tree;
	struct config_errors *errors;
	const char *text;
	size_t length;
	struct open_node open[CONFIG_TREE_DEPTH];
	size_t depth;
	size_t documents;
	size_t skipped; /* levels of what lies too deep */
	bool stop;
};

static void *tree_allocate(struct config_tree *tree, size_t size)
{
	struct config_tree_chunk *chunk = tree->chunks;
	void *memory;

	size = (size + _Alignof(max_align_t) - 1) & ~(_Alignof(max_align_t) - 1);
	if (!chunk || chunk->size - chunk->used < size) {
		const size_t room = size > CHUNK_SIZE ? size : CHUNK_SIZE;

		chunk = malloc(sizeof(*chunk) + room);
		if (!chunk)
			return NULL;
		chunk->size = room;
		chunk->used = 0;
		chunk->next = tree->chunks;
		tree->chunks = chunk;
	}
	memory = chunk->memory + chunk->used;
	chunk->used += size;
	return memory;
}

void config_tree_free(struct config_tree *tree)
{
	while (tree->chunks) {
		struct config_tree_chunk *chunk = tree->chunks;

		tree->chunks = chunk->next;
		free(chunk);
	}
	tree->root = NULL;
}

struct config_node *config_node_find(const struct config_node *mapping, const char *key)
{
	if (mapping->type != CONFIG_MAPPING)
		return NULL;
	for (struct config_node *node = mapping->first; node && node->next; node = node->next->next)
		if (node->type == CONFIG_SCALAR && !strcmp(node->text, key))
			return node->next;
	return NULL;
}

static void out_of_memory(struct builder *builder)
{
	builder->errors->no_memory = true;
	builder->stop = true;
}

/* Appends a node to the innermost open one. NULL: no memory. */
static struct config_node *add_node(struct builder *builder, enum config_node_type type,
				    const yaml_mark_t *mark)
{
	struct config_node *node = tree_allocate(builder->tree, sizeof(*node));

	if (!node) {
		out_of_memory(builder);
		return NULL;
	}
	*node = (struct config_node){
		.type = type,
		.line = (uint32_t)mark->line + 1,
		.column = (uint32_t)mark->column + 1,
	};
	if (builder->depth) {
		struct open_node *open = &builder->open[builder->depth - 1];

		if (open->last)
			open->last->next = node;
		else
			open->node->first = node;
		open->last = node;
		open->node->count++;
	} else {
		builder->tree->root = node;
	}
	return node;
}

static void add_scalar(struct builder *builder, const yaml_event_t *event)
{
	const size_t length = event->data.scalar.length;
	struct config_node *node = add_node(builder, CONFIG_SCALAR, &event->start_mark);
	char *text = node ? tree_allocate(builder->tree, length + 1) : NULL;

	if (!text) {
		out_of_memory(builder);
		return;
	}
	memcpy(text, event->data.scalar.value, length);
	text[length] = '\0';
	node->text = text;
	node->count = (uint32_t)length;
	node->plain = event->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
	if (memchr(text, '\0', length))
		config_node_refuse(builder->errors, node, "a text with a NUL character in it");
}

/* Anchors and tags are refused, what carries them is read nevertheless. */
static void refuse_marks(struct builder *builder, const yaml_event_t *event, const void *anchor,
			 const void *tag)
{
	const uint32_t line = (uint32_t)event->start_mark.line + 1;
	const uint32_t column = (uint32_t)event->start_mark.column + 1;

	if (anchor)
		config_errors_add(builder->errors, line, column,
				  "anchors (&%.40s) are not supported; write the value out where "
				  "it is needed",
				  (const char *)anchor);
	if (tag)
		config_errors_add(builder->errors, line, column,
				  "tags (%.40s) are not supported; remove it", (const char *)tag);
}

static void open_node(struct builder *builder, enum config_node_type type,
		      const yaml_event_t *event)
{
	const bool deep = builder->depth == CONFIG_TREE_DEPTH;
	struct config_node *node;

	node = add_node(builder, deep ? CONFIG_NOTHING : type, &event->start_mark);
	if (!node)
		return;
	if (deep) {
		config_node_refuse(builder->errors, node,
				   "lists and mappings are nested more than %d deep",
				   CONFIG_TREE_DEPTH);
		builder->skipped = 1;
		return;
	}
	builder->open[builder->depth++] = (struct open_node){ .node = node };
}

static void add_alias(struct builder *builder, const yaml_event_t *event)
{
	struct config_node *node = add_node(builder, CONFIG_NOTHING, &event->start_mark);

	if (node)
		config_node_refuse(builder->errors, node,
				   "aliases (*%.40s) are not supported; write the value out, and "
				   "if it is an address, quote the address",
				   (const char *)event->data.alias.anchor);
}

static void begin_document(struct builder *builder, const yaml_event_t *event)
{
	if (event->data.document_start.tag_directives.start !=
	    event->data.document_start.tag_directives.end)
		config_errors_add(builder->errors, (uint32_t)event->start_mark.line + 1,
				  (uint32_t)event->start_mark.column + 1,
				  "tags (%%TAG) are not supported; remove it");
	if (++builder->documents < 2)
		return;
	config_errors_add(builder->errors, (uint32_t)event->start_mark.line + 1,
			  (uint32_t)event->start_mark.column + 1,
			  "a second document begins; expected one in a file");
	builder->stop = true;
}

/* Inside of brackets [v6]:port without quotes is a mapping, whose key is a list with the address. */
static void refuse_address_as_key(struct builder *builder)
{
	struct open_node *outer = builder->depth > 1 ? &builder->open[builder->depth - 1] : NULL;
	struct config_node *list = outer ? outer->last : NULL;

	if (!list || outer->node->type != CONFIG_MAPPING || outer->node->count % 2 == 0 ||
	    list->count != 1 || list->first->type != CONFIG_SCALAR || !list->first->plain ||
	    !strchr(list->first->text, ':'))
		return;
	config_node_refuse(builder->errors, list, QUOTE_HINT, "a key is a list", '[');
	/* Whoever reads it says nothing more. */
	outer->node->type = CONFIG_NOTHING;
	outer->node->broken = true;
}

static void take_event(struct builder *builder, const yaml_event_t *event)
{
	switch (event->type) {
	case YAML_DOCUMENT_START_EVENT:
		begin_document(builder, event);
		break;
	case YAML_ALIAS_EVENT:
		add_alias(builder, event);
		break;
	case YAML_SCALAR_EVENT:
		refuse_marks(builder, event, event->data.scalar.anchor, event->data.scalar.tag);
		add_scalar(builder, event);
		break;
	case YAML_SEQUENCE_START_EVENT:
		refuse_marks(builder, event, event->data.sequence_start.anchor,
			     event->data.sequence_start.tag);
		open_node(builder, CONFIG_LIST, event);
		break;
	case YAML_MAPPING_START_EVENT:
		refuse_marks(builder, event, event->data.mapping_start.anchor,
			     event->data.mapping_start.tag);
		open_node(builder, CONFIG_MAPPING, event);
		break;
	case YAML_SEQUENCE_END_EVENT:
		builder->depth--;
		refuse_address_as_key(builder);
		break;
	case YAML_MAPPING_END_EVENT:
		builder->depth--;
		break;
	case YAML_STREAM_END_EVENT:
		builder->stop = true;
		break;
	default:
		break;
	}
}

/* Counts the levels of what lies too deep, until it ends. */
static void skip_event(struct builder *builder, const yaml_event_t *event)
{
	if (event->type == YAML_SEQUENCE_START_EVENT || event->type == YAML_MAPPING_START_EVENT)
		builder->skipped++;
	else if (event->type == YAML_SEQUENCE_END_EVENT || event->type == YAML_MAPPING_END_EVENT)
		builder->skipped--;
}

/* Offset and length of the line (from 0) in the text, without its end. */
static size_t find_line(const struct builder *builder, size_t line, size_t *ret_length)
{
	size_t start = 0, end;

	for (size_t i = 0; i < builder->length && line; i++)
		if (builder->text[i] == '\n') {
			start = i + 1;
			line--;
		}
	for (end = start; end < builder->length && builder->text[end] != '\n'; end++)
		;
	*ret_length = end - start;
	return start;
}

/* Where in the line a [v6]:port, a * or a :: stands that YAML takes for something else, or -1. */
static long find_unquoted(const char *line, size_t length)
{
	char quote = '\0';

	for (size_t i = 0; i < length; i++) {
		const bool begins = i == 0 || strchr(" \t,:[{-", line[i - 1]);
		size_t end = i + 1;

		if (quote || line[i] == '"' || line[i] == '\'') {
			if (!quote)
				quote = line[i];
			else if (line[i] == quote)
				quote = '\0';
			continue;
		}
		if (line[i] == '#' && begins)
			return -1;
		if (begins &&
		    (line[i] == '*' || (line[i] == ':' && i + 1 < length && line[i + 1] == ':')))
			return (long)i;
		if (line[i] != '[' || !begins)
			continue;
		while (end < length &&
		       (isxdigit((unsigned char)line[end]) || line[end] == ':' || line[end] == '.'))
			end++;
		if (end + 1 < length && line[end] == ']' && line[end + 1] == ':' && end > i + 2)
			return (long)i;
	}
	return -1;
}

/* The parser trips over such an address at its line, or only at the next one. */
static bool hint_at_address(struct builder *builder, size_t line, const char *problem)
{
	for (size_t back = 0; back < 3 && back <= line; back++) {
		size_t length;
		const char *text = builder->text + find_line(builder, line - back, &length);
		const long column = find_unquoted(text, length);

		if (column < 0)
			continue;
		config_errors_add(builder->errors, (uint32_t)(line - back) + 1,
				  (uint32_t)column + 1, QUOTE_HINT, problem, text[column]);
		return true;
	}
	return false;
}

static void refuse_characters(struct builder *builder, const yaml_parser_t *parser)
{
	size_t line = 0, start = 0, column = 0;
	const size_t offset = parser->problem_offset < builder->length ? parser->problem_offset :
									 builder->length;

	for (size_t i = 0; i < offset; i++)
		if (builder->text[i] == '\n') {
			line++;
			start = i + 1;
		}
	for (size_t i = start; i < offset; i++)
		column += ((unsigned char)builder->text[i] & 0xc0) != 0x80;
	config_errors_add(builder->errors, (uint32_t)line + 1, (uint32_t)column + 1,
			  "not a text in UTF-8: %s", parser->problem);
}

static bool stands_at_tab(const struct builder *builder, const yaml_parser_t *parser)
{
	const size_t column = parser->problem_mark.column;
	size_t length;
	const char *line = builder->text + find_line(builder, parser->problem_mark.line, &length);

	return column < length && line[column] == '\t';
}

static void refuse_syntax(struct builder *builder, const yaml_parser_t *parser)
{
	const char *problem = parser->problem ? parser->problem : "no YAML";

	builder->stop = true;
	builder->tree->root = NULL;
	if (parser->error == YAML_MEMORY_ERROR) {
		out_of_memory(builder);
		return;
	}
	if (parser->error == YAML_READER_ERROR) {
		refuse_characters(builder, parser);
		return;
	}
	if (hint_at_address(builder, parser->problem_mark.line, problem))
		return;
	config_errors_add(builder->errors, (uint32_t)parser->problem_mark.line + 1,
			  (uint32_t)parser->problem_mark.column + 1, "%s%s%s%s", problem,
			  parser->context ? " " : "", parser->context ? parser->context : "",
			  stands_at_tab(builder, parser) ? "; indent with blanks, not with tabs" :
							   "");
}

void config_tree_parse(const char *text, size_t length, struct config_tree *ret,
		       struct config_errors *errors)
{
	struct builder builder = { .tree = ret, .errors = errors, .text = text, .length = length };
	yaml_parser_t parser;

	*ret = (struct config_tree){ .root = NULL };
	if (length >= 3 && !memcmp(text, "\xef\xbb\xbf", 3)) {
		builder.text += 3;
		builder.length -= 3;
	}
	if (!yaml_parser_initialize(&parser)) {
		errors->no_memory = true;
		return;
	}
	yaml_parser_set_encoding(&parser, YAML_UTF8_ENCODING);
	yaml_parser_set_input_string(&parser, (const unsigned char *)builder.text, builder.length);
	while (!builder.stop) {
		yaml_event_t event;

		if (!yaml_parser_parse(&parser, &event)) {
			refuse_syntax(&builder, &parser);
			break;
		}
		if (builder.skipped)
			skip_event(&builder, &event);
		else
			take_event(&builder, &event);
		yaml_event_delete(&event);
	}
	yaml_parser_delete(&parser);
	if (!ret->root && !errors->count && !errors->no_memory)
		config_errors_add(errors, 1, 1,
				  "the file is empty; expected interfaces and services");
}

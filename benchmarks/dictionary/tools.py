"""Tool calls and their results in several domains, as JSON: names and values drawn from small vocabularies."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from typing import Any

_FIRST = [
    "Maria",
    "James",
    "Emma",
    "Daniel",
    "Sofia",
    "Noah",
    "Olivia",
    "Liam",
    "Ava",
    "Lucas",
    "Mei",
    "Yusuf",
    "Fatima",
    "Ivan",
    "Anna",
    "Raj",
    "Chen",
    "Aisha",
]
_LAST = [
    "Garcia",
    "Smith",
    "Johnson",
    "Kim",
    "Patel",
    "Nguyen",
    "Brown",
    "Lopez",
    "Rossi",
    "Silva",
    "Müller",
    "Khan",
    "Davis",
    "Moore",
    "Martin",
    "Lee",
]
_CITIES = (
    ("New York", "NY", "10001"),
    ("Los Angeles", "CA", "90012"),
    ("Chicago", "IL", "60611"),
    ("Houston", "TX", "77002"),
    ("San Francisco", "CA", "94107"),
    ("Seattle", "WA", "98101"),
    ("Denver", "CO", "80202"),
    ("Philadelphia", "PA", "19103"),
    ("London", "", "SW1A 1AA"),
    ("Berlin", "", "10115"),
)
_STREETS = [
    "Oak Street",
    "Maple Avenue",
    "Main Street",
    "Park Avenue",
    "Cedar Lane",
    "Elm Street",
    "Hillside Drive",
    "River Road",
]
_PRODUCTS = [
    "Laptop",
    "Headphones",
    "Running Shoes",
    "T-Shirt",
    "Backpack",
    "Coffee Maker",
    "Desk Lamp",
    "Office Chair",
    "Smart Watch",
]

Result = tuple[str, dict[str, Any], Any]
"""a tool's name, its arguments, what it returned"""


def _date(draw: random.Random) -> str:
    return f"{draw.choice([2023, 2024, 2025, 2026])}-{draw.randrange(1, 13):02}-{draw.randrange(1, 29):02}"


def _time(draw: random.Random) -> str:
    return f"{_date(draw)}T{draw.randrange(24):02}:{draw.randrange(60):02}:{draw.randrange(60):02}"


def _number(draw: random.Random, digits: int = 7) -> str:
    return str(draw.randrange(10 ** (digits - 1), 10**digits))


def _person(draw: random.Random) -> dict[str, Any]:
    first, last = draw.choice(_FIRST), draw.choice(_LAST)
    city, state, zip_code = draw.choice(_CITIES)
    return {
        "name": {"first_name": first, "last_name": last},
        "address": {
            "address1": f"{draw.randrange(100, 999)} {draw.choice(_STREETS)}",
            "address2": f"Suite {draw.randrange(100, 999)}",
            "city": city,
            "country": "USA",
            "state": state,
            "zip": zip_code,
        },
        "email": f"{first.lower()}.{last.lower()}{draw.randrange(1000, 9999)}@example.com",
        "dob": f"{draw.randrange(1950, 2006)}-{draw.randrange(1, 13):02}-{draw.randrange(1, 29):02}",
        "phone": f"+1 555 {_number(draw, 3)} {_number(draw, 4)}",
    }


def user(draw: random.Random) -> Result:
    """A customer's profile."""
    person = _person(draw)
    user_id = f"{person['name']['first_name']}_{person['name']['last_name']}_{_number(draw, 4)}".lower()
    methods = {}
    for _ in range(draw.randrange(1, 4)):
        source = draw.choice(["credit_card", "gift_card", "paypal"])
        method: dict[str, Any] = {"source": source, "id": f"{source}_{_number(draw)}"}
        if source == "credit_card":
            method.update(brand=draw.choice(["visa", "mastercard"]), last_four=_number(draw, 4))
        elif source == "gift_card":
            method["amount"] = draw.randrange(10, 300)
        methods[method["id"]] = method
    person["payment_methods"] = methods
    person["membership"] = draw.choice(["regular", "silver", "gold"])
    person["orders"] = [f"#W{_number(draw)}" for _ in range(draw.randrange(1, 5))]
    return "get_user_details", {"user_id": user_id}, person


def order(draw: random.Random) -> Result:
    """An order of a shop."""
    items = [
        {
            "name": draw.choice(_PRODUCTS),
            "product_id": _number(draw, 10),
            "item_id": _number(draw, 10),
            "price": round(draw.uniform(5, 900), 2),
            "quantity": draw.randrange(1, 4),
            "options": {
                "color": draw.choice(["black", "white", "blue", "red", "green", "silver"]),
                "size": draw.choice(["S", "M", "L", "XL", "8", "10"]),
                "material": draw.choice(["cotton", "leather", "metal", "polyester"]),
            },
            "available": draw.random() < 0.8,
        }
        for _ in range(draw.randrange(1, 5))
    ]
    number = f"#W{_number(draw)}"
    result = {
        "order_id": number,
        "user_id": user(draw)[1]["user_id"],
        "address": _person(draw)["address"],
        "items": items,
        "status": draw.choice(["pending", "processed", "delivered", "cancelled", "shipped"]),
        "created_at": _time(draw),
        "fulfillments": [{"tracking_id": [_number(draw, 12)], "item_ids": [one["item_id"] for one in items]}],
        "payment_history": [
            {
                "transaction_type": "payment",
                "amount": round(sum(one["price"] for one in items), 2),
                "payment_method_id": f"credit_card_{_number(draw)}",
            }
        ],
        "total_price": round(sum(one["price"] for one in items), 2),
    }
    return "get_order_details", {"order_id": number}, result


def rooms(draw: random.Random) -> Result:
    """A hotel's rooms."""
    city = draw.choice(_CITIES)[0]
    arguments = {"city": city, "check_in": _date(draw), "check_out": _date(draw), "guests": draw.randrange(1, 5)}
    found = [
        {
            "hotel_id": f"HTL{_number(draw, 4)}",
            "name": f"{draw.choice(['Grand', 'Park', 'Central', 'Royal'])} Hotel {city}",
            "room_type": draw.choice(["single", "double", "suite"]),
            "price_per_night": draw.randrange(60, 400),
            "currency": draw.choice(["USD", "EUR"]),
            "available_rooms": draw.randrange(10),
            "rating": round(draw.uniform(3, 5), 1),
            "amenities": draw.sample(["wifi", "breakfast", "parking", "pool", "gym"], 3),
            "free_cancellation": draw.random() < 0.5,
        }
        for _ in range(draw.randrange(1, 6))
    ]
    return "search_hotels", arguments, found


def reservation(draw: random.Random) -> Result:
    """A reservation of a table or a room."""
    person = _person(draw)
    arguments = {
        "user_id": user(draw)[1]["user_id"],
        "date": _date(draw),
        "time": f"{draw.randrange(8, 22)}:{draw.choice(['00', '15', '30', '45'])}",
        "payment_methods": [{"payment_id": f"credit_card_{_number(draw)}", "amount": draw.randrange(50, 900)}],
        "guests": [{**person["name"], "dob": person["dob"]}],
    }
    result = {
        "reservation_id": "".join(draw.choices("ABCDEFGHJKLMNPQRSTUVWXYZ0123456789", k=6)),
        **arguments,
        "status": "confirmed",
        "created_at": _time(draw),
        "total_price": draw.randrange(50, 900),
    }
    return draw.choice(["book_reservation", "update_reservation", "cancel_reservation"]), arguments, result


def web(draw: random.Random) -> Result:
    """A web search."""
    found = [
        {
            "title": "How to get started with machine learning in 2025",
            "url": f"https://www.example.com/blog/{_number(draw)}",
            "content": "In this article, you will learn how to build an application step by step.",
            "score": round(draw.random(), 8),
            "raw_content": None,
            "published_date": _date(draw),
        }
        for _ in range(draw.randrange(2, 5))
    ]
    query = draw.choice(["latest news", "weather in Paris", "best restaurants near me", "how to use asyncio in Python"])
    result = {"query": query, "follow_up_questions": None, "answer": None, "images": [], "results": found}
    return draw.choice(["search", "web_search", "tavily_search_results_json"]), {"query": query}, result


def weather(draw: random.Random) -> Result:
    """A forecast."""
    city = draw.choice(_CITIES)[0]
    result = {
        "location": city,
        "temperature": draw.randrange(-5, 35),
        "unit": "celsius",
        "condition": draw.choice(["sunny", "cloudy", "partly cloudy", "light rain", "snow"]),
        "humidity": draw.randrange(20, 100),
        "wind_speed": round(draw.uniform(0, 40), 1),
        "forecast": [{"date": _date(draw), "high": draw.randrange(40), "low": draw.randrange(20)} for _ in range(3)],
    }
    return "get_weather", {"location": city, "unit": "celsius"}, result


def account(draw: random.Random) -> Result:
    """A bank account's transactions."""
    number = f"ACC{_number(draw, 8)}"
    rows = [
        {
            "transaction_id": f"txn_{_number(draw, 9)}",
            "timestamp": _time(draw) + "Z",
            "type": draw.choice(["debit", "credit", "transfer"]),
            "amount": round(draw.uniform(-500, 500), 2),
            "currency": "USD",
            "description": draw.choice(["Grocery store", "Salary", "Online purchase", "Rent", "ATM withdrawal"]),
            "balance": round(draw.uniform(100, 9000), 2),
        }
        for _ in range(draw.randrange(2, 6))
    ]
    return "get_transactions", {"account_id": number, "limit": len(rows)}, {"account_id": number, "transactions": rows}


def line(draw: random.Random) -> Result:
    """A telephone line and its plan."""
    number = f"L{_number(draw, 4)}"
    result = {
        "line_id": number,
        "phone_number": f"555-{_number(draw, 3)}-{_number(draw, 4)}",
        "status": draw.choice(["Active", "Suspended"]),
        "plan_id": f"P{_number(draw, 4)}",
        "data_used_gb": round(draw.uniform(0, 20), 1),
        "roaming_enabled": draw.random() < 0.5,
        "contract_end_date": _date(draw),
        "last_update": None,
    }
    return "get_details_by_id", {"id": number}, result


def file(draw: random.Random) -> Result:
    """A coding agent's look at a file."""
    path = f"/home/user/project/src/{draw.choice(['main', 'utils', 'models', 'api'])}.py"
    imports = "from __future__ import annotations\n\nimport os\nimport re\nimport sys\n\n\n"
    code = imports + "def main() -> None:\n    return None\n"
    numbered = "\n".join(f"{number:6}\t{text}" for number, text in enumerate(code.splitlines(), 1))
    name, arguments = draw.choice(
        [
            ("read_file", {"file_path": path, "offset": 0, "limit": 200}),
            ("bash", {"command": f"cd /home/user/project && cat {path}", "timeout": 60000}),
            ("edit_file", {"file_path": path, "old_string": "return None", "new_string": "return result"}),
            ("grep", {"pattern": "def main", "path": "/home/user/project", "output_mode": "files_with_matches"}),
            ("run_python", {"code": code}),
            ("write_todos", {"todos": [{"content": "Run the tests", "status": "in_progress"}]}),
        ]
    )
    return name, arguments, numbered


def rows(draw: random.Random) -> Result:
    """A query on a database."""
    query = "SELECT id, name, email, created_at FROM users WHERE status = 'active' ORDER BY created_at DESC LIMIT 10"
    found = [(number, f"{draw.choice(_FIRST)} {draw.choice(_LAST)}", _date(draw)) for number in range(1, 6)]
    return "sql_db_query", {"query": query}, str(found)


def documents(draw: random.Random) -> Result:
    """Documents from a vector store."""
    found = [
        {
            "id": None,
            "metadata": {"source": f"docs/guide-{number}.pdf", "page": draw.randrange(90), "total_pages": 92},
            "page_content": "This section describes how to install and configure the application.",
            "type": "Document",
        }
        for number in range(draw.randrange(1, 4))
    ]
    return "retrieve", {"query": "How do I configure it?", "k": 4}, found


def step(draw: random.Random) -> Result:
    """A call that says little."""
    name, arguments, result = draw.choice(
        [
            ("calculate", {"expression": f"{draw.randrange(900)} + {draw.randrange(900)}"}, str(draw.randrange(1800))),
            ("transfer_to_human_agents", {"summary": "The user wants to cancel the order"}, "Transfer successful"),
            ("think", {"thought": "The user has not provided the order ID yet, so I need to ask for it."}, ""),
            ("send_email", {"to": "anna@example.com", "subject": "Hello", "body": "Hi Anna,\n\n"}, {"success": True}),
            ("create_ticket", {"title": "Login fails", "priority": "high"}, {"id": 42, "status": "open"}),
            ("get_current_time", {"timezone": "Europe/Berlin"}, "2025-03-10T09:00:00+01:00"),
            ("write_file", {"file_path": "report.md", "content": "# Report\n\n## Summary\n\n"}, "Done"),
            ("find_user_id_by_email", {"email": "anna.lee@example.com"}, {"error": "User not found", "code": 404}),
        ]
    )
    return name, arguments, result


DOMAINS: tuple[Callable[[random.Random], Result], ...] = (
    *(user, order, rooms, reservation, web, weather, account, line, file, rows, documents, step, step),
)


def as_text(draw: random.Random, result: Any) -> str:
    """Return a result as tools return it to the model."""
    if isinstance(result, str):
        return result
    style = draw.random()
    if style < 0.6:
        return json.dumps(result)
    return json.dumps(result, indent=2) if style < 0.75 else json.dumps(result, separators=(",", ":"))

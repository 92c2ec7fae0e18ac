// A multiplication out of LUTs: the narrower factor is halved until one bit is left, halves are added on carry chains.
// Yosys' own way (carry-save adders) takes about twice as many LUTs in an FPGA. The cells $__hwsim_mul are what
// `multipliers.py` makes of the $mul cells that are to have no hardware multiplier; factors may differ in sign.

(* techmap_celltype = "$__hwsim_mul" *)
module hwsim_mul (A, B, Y);
    parameter A_SIGNED = 0;
    parameter B_SIGNED = 0;
    parameter A_WIDTH = 1;
    parameter B_WIDTH = 1;
    parameter Y_WIDTH = 1;
    localparam LOW = B_WIDTH / 2;
    localparam HIGH = B_WIDTH - LOW;
    localparam WIDTH = A_WIDTH + B_WIDTH;
    localparam SIGNED = A_SIGNED || B_SIGNED;

    (* force_downto *)
    input [A_WIDTH-1:0] A;
    (* force_downto *)
    input [B_WIDTH-1:0] B;
    (* force_downto *)
    output [Y_WIDTH-1:0] Y;

    wire [WIDTH-1:0] product;

    generate
        if (A_WIDTH < B_WIDTH) begin : swap
            \$__hwsim_mul #(
                .A_SIGNED(B_SIGNED), .B_SIGNED(A_SIGNED), .A_WIDTH(B_WIDTH), .B_WIDTH(A_WIDTH), .Y_WIDTH(WIDTH)
            ) mul (.A(B), .B(A), .Y(product));
        end else if (B_WIDTH == 1 && !B_SIGNED) begin : one
            assign product = {A_SIGNED && A[A_WIDTH-1], A} & {WIDTH{B[0]}};
        end else if (B_WIDTH <= 2 && B_SIGNED) begin : signs
            // The highest bit of a signed factor counts negative.
            wire [WIDTH-1:0] wide = {{WIDTH{A_SIGNED && A[A_WIDTH-1]}}, A};
            wire [WIDTH-1:0] minuend = B_WIDTH == 2 ? wide & {WIDTH{B[0]}} : {WIDTH{1'b0}};
            wire [WIDTH-1:0] subtrahend = (B_WIDTH == 2 ? wide << 1 : wide) & {WIDTH{B[B_WIDTH-1]}};
            wire [WIDTH-1:0] propagate, carry;
            \$alu #(
                .A_SIGNED(0), .B_SIGNED(0), .A_WIDTH(WIDTH), .B_WIDTH(WIDTH), .Y_WIDTH(WIDTH)
            ) sub (.A(minuend), .B(subtrahend), .BI(1'b1), .CI(1'b1), .Y(product), .X(propagate), .CO(carry));
        end else begin : halves
            wire [A_WIDTH+LOW-1:0] below;
            wire [A_WIDTH+HIGH-1:0] above, propagate, carry;
            \$__hwsim_mul #(
                .A_SIGNED(A_SIGNED), .B_SIGNED(0), .A_WIDTH(A_WIDTH), .B_WIDTH(LOW), .Y_WIDTH(A_WIDTH + LOW)
            ) low (.A(A), .B(B[LOW-1:0]), .Y(below));
            \$__hwsim_mul #(
                .A_SIGNED(A_SIGNED), .B_SIGNED(B_SIGNED), .A_WIDTH(A_WIDTH), .B_WIDTH(HIGH), .Y_WIDTH(A_WIDTH + HIGH)
            ) high (.A(A), .B(B[B_WIDTH-1:LOW]), .Y(above));
            assign product[LOW-1:0] = below[LOW-1:0];
            \$alu #(
                .A_SIGNED(SIGNED), .B_SIGNED(SIGNED), .A_WIDTH(A_WIDTH), .B_WIDTH(A_WIDTH + HIGH), .Y_WIDTH(A_WIDTH + HIGH)
            ) add (
                .A(below[A_WIDTH+LOW-1:LOW]), .B(above), .BI(1'b0), .CI(1'b0), .Y(product[WIDTH-1:LOW]), .X(propagate),
                .CO(carry)
            );
        end
        if (SIGNED) begin : extend
            wire signed [WIDTH-1:0] exact = product;
            assign Y = exact;
        end else begin : keep
            assign Y = product;
        end
    endgenerate
endmodule
